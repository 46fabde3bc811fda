"""The commands `dcmrecv-index rescan` and `find`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core.testing import fake_event, fake_instance, sample_dataset
from dcmrecv_index.commands import main
from dcmrecv_index.database import Database, checked_url
from dcmrecv_index.record import record_of_event
from dcmrecv_index.write import write

Find = Callable[..., list[dict[str, Any]]]


def store(directory: Path, name: str, **elements: Any) -> Path:
    instance = fake_instance(sample_dataset(**elements), output_directory=directory)
    return Path(instance.save(name))


def rescan(directory: Path, *arguments: str) -> None:
    assert main(["rescan", str(directory), *arguments]) == 0


def test_rescan_finds_dicom_files(tmp_path: Path, find: Find) -> None:
    store(tmp_path, "a", SOPInstanceUID="1.1")
    store(tmp_path, "deep/er/b", SOPInstanceUID="1.2", SeriesInstanceUID="1.9", Modality="MR")
    store(tmp_path, ".dcmrecv/not-this", SOPInstanceUID="1.3")
    (tmp_path / "readme.txt").write_text("no DICOM")
    (tmp_path / "broken").write_bytes(bytes(128) + b"DICM" + b"\x02\x00\x10\x00UI\xff\x00")
    (tmp_path / "broken link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    rescan(tmp_path)
    rows = find("--level", "instance")
    assert [(row["sop_instance_uid"], row["location"]) for row in rows] == [
        ("1.1", str(tmp_path / "a")),
        ("1.2", str(tmp_path / "deep/er/b")),
    ]


def test_rescan_keeps_rows_of_a_later_time(tmp_path: Path, database: Database, find: Find) -> None:
    event = fake_event(output_directory=tmp_path)
    os.utime(event.location, (1, 1))
    with database.writing():
        write(database, record_of_event(event))
    before = find("--level", "instance")
    rescan(tmp_path)
    assert find("--level", "instance") == before


def test_rescan_keeps_what_only_the_event_knew(tmp_path: Path, database: Database, find: Find) -> None:
    """Also if the file was changed, or moved, since."""
    event = fake_event(output_directory=tmp_path, digest="sha256:47")
    with database.writing():
        write(database, record_of_event(event))
    [before] = find("--level", "instance")
    assert (before["calling_ae_title"], before["called_ae_title"]) == (event.calling_ae_title, event.called_ae_title)
    rescan(tmp_path)
    assert find("--level", "instance") == [before], "time and titles stay"
    Path(event.location).rename(tmp_path / "elsewhere")
    os.utime(tmp_path / "elsewhere", (2e9, 2e9))
    rescan(tmp_path)
    assert find("--level", "instance") == [
        {**before, "location": str(tmp_path / "elsewhere"), "received": "2033-05-18T03:33:20+00:00"}
    ]


def test_prune(tmp_path: Path, find: Find) -> None:
    gone = store(tmp_path, "gone", SOPInstanceUID="1.1", StudyInstanceUID="1.8", SeriesInstanceUID="1.8.1")
    moved = store(tmp_path, "moved", SOPInstanceUID="1.2")
    rescan(tmp_path)
    gone.unlink()
    os.utime(moved.rename(tmp_path / "elsewhere"), (1, 1))
    rescan(tmp_path)
    assert len(find()) == 2, "without --prune no row is removed"
    rescan(tmp_path, "--prune")
    [row] = find("--level", "instance")
    assert row["location"] == str(tmp_path / "elsewhere")


def test_prune_leaves_other_directories_alone(tmp_path: Path, find: Find) -> None:
    url = f"sqlite:///{tmp_path}/.dcmrecv/index.sqlite"
    for name in ("a_b", "axb"):
        store(tmp_path, f"{name}/x", SOPInstanceUID=f"1.{len(name)}{ord(name[1])}").unlink()
        store(tmp_path, f"{name}/x", SOPInstanceUID=f"1.{len(name)}{ord(name[1])}")
    rescan(tmp_path)
    (tmp_path / "a_b/x").unlink()
    (tmp_path / "axb/x").unlink()
    rescan(tmp_path / "a_b", "--prune", "--url", url)
    [row] = find("--level", "instance")
    assert row["location"] == str(tmp_path / "axb/x")


def test_prune_is_case_sensitive(tmp_path: Path, find: Find) -> None:
    for number, name in enumerate(("a", "A")):
        store(tmp_path, f"{name}/x", SOPInstanceUID=f"1.{number}")
    rescan(tmp_path)
    for name in ("a", "A"):
        (tmp_path / name / "x").unlink()
    rescan(tmp_path / "a", "--prune")
    [row] = find("--level", "instance")
    assert row["location"] == str(tmp_path / "A/x")


def test_a_directory_below_the_output_directory(tmp_path: Path, database: Database, find: Find) -> None:
    store(tmp_path, "deep/er/a", SOPInstanceUID="1.1")
    rescan(tmp_path / "deep" / "er")
    assert not (tmp_path / "deep" / "er" / ".dcmrecv").exists()
    assert len(find()) == len(find("--directory", str(tmp_path / "deep"))) == 1


def test_a_state_directory_elsewhere(tmp_path: Path, find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCMRECV_INDEX_URL", "sqlite:////nowhere/to/be/found")
    store(tmp_path, "out/a", SOPInstanceUID="1.1")
    rescan(tmp_path / "out", "--state-dir", str(tmp_path / "state"))
    assert (tmp_path / "state" / "index.sqlite").exists()
    assert len(find("--state-dir", str(tmp_path / "state"))) == 1


@pytest.fixture
def three(tmp_path: Path) -> None:
    store(
        tmp_path, "1", SOPInstanceUID="1.1", PatientName="Doe^Jane", StudyInstanceUID="1.8", SeriesInstanceUID="1.8.1"
    )
    store(
        tmp_path, "2", SOPInstanceUID="1.2", PatientName="Doe^Jane", StudyInstanceUID="1.8", SeriesInstanceUID="1.8.2"
    )
    store(
        tmp_path,
        "3",
        SOPInstanceUID="1.3",
        PatientID="100%",
        PatientName="Roe^Jim",
        StudyInstanceUID="1.9",
        SeriesInstanceUID="1.9.1",
        Modality="MR",
        StudyDate="20210304",
        AccessionNumber="B_7",
    )
    rescan(tmp_path)


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), ["1.1", "1.2", "1.3"]),
        (("--patient-id", "4711"), ["1.1", "1.2"]),
        (("--patient-id", "471"), []),
        (("--patient-name", "*J?m"), ["1.3"]),
        (("--patient-name", "*j?m"), []),
        (("--patient-name", "[DR]oe*"), []),
        (("--patient-id", "100%"), ["1.3"]),
        (("--patient-id", "1%*"), []),
        (("--accession-number", "?_7"), ["1.3"]),
        (("--accession-number", "_*"), []),
        (("--study-date", "2020*"), ["1.1", "1.2"]),
        (("--study-instance-uid", "1.8"), ["1.1", "1.2"]),
        (("--series-instance-uid", "1.8.2"), ["1.2"]),
        (("--sop-instance-uid", "1.3"), ["1.3"]),
        (("--modality", "MR"), ["1.3"]),
        (("--modality", "MR", "--patient-id", "4711"), []),
    ],
)
def test_filters(find: Find, arguments: tuple[str, ...], found: list[str]) -> None:
    assert sorted(row["sop_instance_uid"] for row in find("--level", "instance", *arguments)) == found


@pytest.mark.usefixtures("three")
def test_levels(find: Find) -> None:
    assert sorted((row["study_instance_uid"], row["instances"]) for row in find()) == [("1.8", 2), ("1.9", 1)]
    assert len(find("--level", "series")) == 3


@pytest.mark.usefixtures("three")
def test_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(tmp_path, "4", SOPInstanceUID="1.4", PatientID="E\x1b[31m", StudyInstanceUID="1.7", SeriesInstanceUID="1.7.1")
    rescan(tmp_path)
    capsys.readouterr()
    assert main(["find", "--directory", str(tmp_path)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["patient_id", "patient_name", "study_date"]
    assert {line[head.index("study_date") :].split()[0] for line in lines} == {"20200102", "20210304"}
    assert any(line.startswith("E?[31m") for line in lines)


def test_find_makes_no_index(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find", "--directory", str(tmp_path)]) == 2
    assert "there is no index" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_rescan_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rescan", str(tmp_path / "missing"), "--url", f"sqlite:///{tmp_path}/x"]) == 2
    assert "missing" in capsys.readouterr().err


def test_nothing_found_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str], three: None) -> None:
    command = ["find", "--directory", str(tmp_path)]
    assert main([*command, "--patient-id", "4711"]) == 0
    capsys.readouterr()
    assert main([*command, "--patient-id", "none"]) == 1
    assert tuple(capsys.readouterr()) == ("", "nothing found\n")


@pytest.fixture
def senders(database: Database) -> None:
    """1.1 from CT1 to ARCHIVE in the evening of 1 November 2026, 1.2 from ct2 a day later, 1.3 found as a file."""
    for uid, sender, day in (("1.1", "CT1", 1), ("1.2", "ct2", 2), ("1.3", None, 3)):
        received = datetime(2026, 11, day, 20, 30).astimezone()
        told = {"calling_ae_title": sender, "called_ae_title": sender and "ARCHIVE", "peer_address": None}
        event = fake_event(sample_dataset(SOPInstanceUID=uid), received_at=received, location=f"/{uid}", **told)
        with database.writing():
            write(database, replace(record_of_event(event), received=int(received.timestamp()) * 10**9))


@pytest.mark.usefixtures("senders")
@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--from", "CT1"), ["1.1"]),
        (("--from", "CT?"), ["1.1"]),
        (("--from", "*"), ["1.1", "1.2"]),
        (("--to", "ARCHIVE"), ["1.1", "1.2"]),
        (("--to", "archive"), []),
        (("--since", "2026-11-02"), ["1.2", "1.3"]),
        (("--since", "2026-11-01T20:30"), ["1.1", "1.2", "1.3"]),
        (("--since", "2026-11-01T20:30:01"), ["1.2", "1.3"]),
        (("--until", "2026-11-01"), ["1.1"]),
        (("--until", "20261102"), ["1.1", "1.2"]),
        (("--until", "2026-11-01T20:30"), []),
        (("--since", "2026-11-02", "--until", "2026-11-02"), ["1.2"]),
        (("--since", "2026-11-01T21:30+25:00"), None),
        (("--from", "CT1", "--since", "2026-11-01"), ["1.1"]),
        (("--from", "CT1", "--since", "2026-11-02"), []),
        (("--since", "tomorrow"), None),
    ],
)
def test_senders_and_times(find: Find, arguments: tuple[str, ...], found: list[str] | None) -> None:
    if found is None:
        with pytest.raises(SystemExit):
            find(*arguments)
        return
    assert [row["sop_instance_uid"] for row in find("--level", "instance", *arguments)] == found
    assert len(find(*arguments)) == bool(found), "one study"


def test_times_of_a_zone(find: Find, senders: None) -> None:
    hour = datetime(2026, 11, 1, 20, 30).astimezone().astimezone(UTC)
    assert len(find("--level", "instance", "--until", hour.isoformat())) == 0
    assert len(find("--level", "instance", "--until", (hour + timedelta(seconds=1)).isoformat())) == 1


@pytest.mark.parametrize(
    "url",
    [
        "nonsense:SECRET",
        "mysql://u:SECRET@h/d",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:////x?mode=SECRET",
        "postgresql://u:SECRET@[h/d",
        "postgresql+asyncpg://u:SECRET@h/d",
    ],
)
def test_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ValueError, match=r"not|needs") as caught:
        checked_url(url)
    assert "SECRET" not in str(caught.value)
