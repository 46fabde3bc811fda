"""What a process that asks for the counters finds out about the output directory."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dcmrecv_core.counters.document import Counters, OutputStatus
from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.net.control.reading import with_output, with_queues
from dcmrecv_core.storage import usable
from dcmrecv_core.storage.mounts import mount_namespace

AT = datetime(2026, 11, 29, tzinfo=UTC)


def counters(output: Path | None) -> Counters:
    status = None if output is None else OutputStatus(path=str(output))
    return Counters(version="1", pid=1, state="ready", not_ready=(), started_at=AT, counting_since=AT, output=status)


def test_all_is_well(tmp_path: Path) -> None:
    for found in (counters(tmp_path), counters(None)):
        assert with_output(found) == found


def test_a_missing_directory(tmp_path: Path) -> None:
    place = tmp_path / "out"
    found = with_output(counters(place))
    assert (found.state, found.not_ready) == ("not ready", (f"{place} does not exist",))
    place.mkdir()
    assert with_output(counters(place)).state == "ready"


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_receiver_in_another_mount_namespace(tmp_path: Path, elsewhere: bool) -> None:
    """In a container, or confined by systemd: what is a mount point there is a directory here, or nothing at all."""
    for path in (tmp_path, tmp_path / "absent"):
        output = OutputStatus(path=str(path), mount_point=str(path), mount_namespace=mount_namespace() + int(elsewhere))
        assert with_output(replace(counters(None), output=output)).state == ("ready" if elsewhere else "not ready")
    full = OutputStatus(path=str(tmp_path), min_free=1 << 60, mount_namespace=1)
    assert with_output(replace(counters(None), output=full)).state == "not ready"


def test_a_receiver_that_drains_still_does(tmp_path: Path) -> None:
    draining = replace(counters(tmp_path / "out"), state="draining", not_ready=("draining",))
    found = with_output(draining)
    assert (found.state, found.not_ready) == ("draining", ("draining", f"{tmp_path / 'out'} does not exist"))


def test_queues_on_a_disk_that_hangs_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError("it would hang")

    answers = threading.Event()
    monkeypatch.setattr(usable, "ANSWER_TIMEOUT", 0.05)
    monkeypatch.setattr(usable, "fault_of", lambda directory: (answers.wait(10) and "", ""))
    monkeypatch.setattr(SqliteStore, "open", fail)
    found = with_output(counters(tmp_path))
    assert found.not_ready == (f"file system of {tmp_path} does not respond",)
    assert with_queues(found, tmp_path).queues == ()
    answers.set()
