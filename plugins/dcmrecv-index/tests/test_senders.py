"""`senders`, and `find UID`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core import PluginSettings
from dcmrecv_core.testing import fake_association, fake_event, sample_dataset
from dcmrecv_index.commands import main
from dcmrecv_index.database import Database
from dcmrecv_index.record import record_of_event
from dcmrecv_index.write import write

Find = Callable[..., list[dict[str, Any]]]
Senders = Callable[..., list[dict[str, Any]]]


def add(database: Database, uid: str, title: str = "CT1", *, study: str = "1.2", days: float = 0, **told: Any) -> int:
    """An instance that this sender has sent so many days ago; returns its size."""
    association = fake_association(calling_ae_title=title, peer_address=f"192.0.2.{len(title)}")
    dataset = sample_dataset(SOPInstanceUID=uid, StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1")
    event = fake_event(dataset, association=association, received_at=datetime.now(UTC) - timedelta(days=days), **told)
    with database.writing():
        write(database, record_of_event(event))
    return event.size


@pytest.fixture
def senders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Senders:
    def run(*arguments: str) -> list[dict[str, Any]]:
        capsys.readouterr()
        code = main(["senders", "--json", "--directory", str(tmp_path), *arguments])
        rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        assert code == (0 if rows else 1)
        return rows

    return run


def test_the_most_bytes_first(database: Database, senders: Senders) -> None:
    add(database, "1", "MR10")
    size = add(database, "2", "CT1") + add(database, "3", "CT1", study="1.3")
    found = senders()
    assert [(row["calling_ae_title"], row["peer_address"]) for row in found] == [
        ("CT1", "192.0.2.3"),
        ("MR10", "192.0.2.4"),
    ]
    first = found[0]
    assert (first["studies"], first["instances"], first["bytes"]) == (2, 2, size)
    assert datetime.fromisoformat(first["first"]) <= datetime.fromisoformat(first["last"]) <= datetime.now(UTC)


def test_days(database: Database, senders: Senders) -> None:
    noon = datetime.now().replace(hour=12)
    now = datetime.now()
    for days, title in ((0, "TODAY"), (1, "YESTERDAY"), (2, "BEFORE")):
        add(database, str(days), title, days=days + (now - noon).total_seconds() / 86400)
    assert [row["calling_ae_title"] for row in senders("--since", "yesterday", "--until", "yesterday")] == ["YESTERDAY"]
    assert {row["calling_ae_title"] for row in senders("--since", "yesterday")} >= {"YESTERDAY"}
    assert "BEFORE" not in {row["calling_ae_title"] for row in senders("--since", "yesterday")}
    assert [row["calling_ae_title"] for row in senders("--since", "today")] in (["TODAY"], [])


def test_as_a_table(database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(database, "1", "A\x1b[2J")
    assert main(["senders", "--directory", str(tmp_path)]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["calling_ae_title", "peer_address", "studies", "instances", "bytes", "first", "last"]
    assert line.startswith("A?[2J")


def test_nobody(database: Database, senders: Senders) -> None:
    assert senders("--until", "2001-01-01") == []


def test_without_an_index(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["senders", "--directory", str(tmp_path)]) == 2
    assert "there is no index" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("uid", "found"), [("1.2", ["1", "2"]), ("1.2.1", ["1", "2"]), ("2", ["2"]), ("1.9", [])])
def test_by_any_uid(database: Database, find: Find, uid: str, found: list[str]) -> None:
    add(database, "1")
    add(database, "2")
    add(database, "3", study="1.3")
    assert [row["sop_instance_uid"] for row in find(uid)] == found


def test_at_another_level(database: Database, find: Find) -> None:
    add(database, "1")
    [row] = find("1", "--level", "study")
    assert row["study_instance_uid"] == "1.2"
    assert find("1", "--from", "MR10") == []


def test_by_the_uid_that_it_was_sent_with(database: Database, tmp_path: Path, find: Find) -> None:
    state = tmp_path / ".dcmrecv"
    (state / "uid-hash.key").write_bytes(bytes(32))
    add(database, "9", original_uid_hash=PluginSettings(state_directory=state).original_uid_hash("1"))
    assert [row["sop_instance_uid"] for row in find("1")] == ["9"]
