"""The reader of the journal: order, files of dead writers, damage."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dcmrecv_core.delivery import journal as journal_module
from dcmrecv_core.delivery.journal import DAMAGED, Batch, JournalReader
from dcmrecv_core.delivery.store import FileState
from dcmrecv_core.storage.journals.boot import boot_id
from dcmrecv_core.storage.journals.files import JournalWriter
from support.deliveries import record

LATER = 1 << 60


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def write(directory: Path, *records: bytes, association: bytes = b"a1") -> JournalWriter:
    writer = JournalWriter(str(directory))
    for data in records:
        writer.append(data, association)
    return writer


def uids(batch: Batch) -> list[str]:
    return [event.record.sop_instance_uid.decode() for event in batch.events]


def paths(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.journal"))


def test_nothing_is_there_yet(directory: Path) -> None:
    reader = JournalReader(str(directory), {})
    assert reader.read(LATER) == Batch([], {}, False)
    assert reader.remove_finished() == []


def test_records_of_several_writers_are_in_the_order_of_publishing(directory: Path) -> None:
    one = write(directory, record("1", published=10), record("4", published=40))
    two = write(directory, record("2", published=20), record("3", published=30))
    reader = JournalReader(str(directory), {})
    assert uids(reader.read(LATER)) == ["1", "2", "3", "4"]
    assert uids(reader.read(LATER)) == []
    one.append(record("5", published=50))
    assert uids(reader.read(LATER)) == ["5"]
    for writer in (one, two):
        writer.close()


def test_later_records_wait_for_those_that_may_be_under_way(directory: Path) -> None:
    writer = write(directory, record("1", published=10), record("2", published=20))
    reader = JournalReader(str(directory), {})
    assert uids(reader.read(15)) == ["1"]
    assert uids(reader.read(25)) == ["2"]
    writer.close()


def test_with_a_backlog_no_file_overtakes_another(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "CHUNK", 2000)
    one = write(directory, *[record(f"1.{number}", published=10 * number) for number in range(1, 51)])
    two = write(directory, *[record(f"2.{number}", published=10 * number + 5) for number in range(1, 21)])
    reader = JournalReader(str(directory), {})
    found, turns = [], 0
    while True:
        batch = reader.read(LATER)
        found += [event.record.published for event in batch.events]
        turns += 1
        if not batch.more:
            break
    assert found == sorted(found)
    assert len(found) == 70
    assert turns > 3
    for writer in (one, two):
        writer.close()


def test_ids_and_positions_are_the_same_for_another_reader(directory: Path) -> None:
    writer = write(directory, record("1"), record("2"))
    first = JournalReader(str(directory), {})
    batch = first.read(LATER)
    assert [event.id for event in JournalReader(str(directory), {}).read(LATER).events] == [
        event.id for event in batch.events
    ]
    writer.append(record("3"))
    again = JournalReader(str(directory), batch.files)
    assert uids(again.read(LATER)) == ["3"]
    writer.close()


def test_all_that_was_read_is_flushed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: flushed.append(os.fstat(fd).st_ino))
    monkeypatch.setattr(os, "fsync", lambda fd: flushed.append(os.fstat(fd).st_ino))
    writer = write(directory, record("1"))
    reader = JournalReader(str(directory), {})
    reader.read(LATER)
    assert flushed == [paths(directory)[0].stat().st_ino, directory.stat().st_ino]
    reader.read(LATER)
    assert len(flushed) == 2
    writer.append(record("2"))
    reader.read(LATER)
    assert len(flushed) == 3
    writer.close()


def test_a_file_goes_when_its_writer_has_ended_and_all_was_read(directory: Path) -> None:
    writer = write(directory, record("1", published=10), record("2", published=30))
    reader = JournalReader(str(directory), {})
    reader.read(20)
    assert reader.remove_finished() == []
    writer.close()
    assert uids(reader.read(20)) == []
    assert reader.remove_finished() == []
    assert uids(reader.read(40)) == ["2"]
    [path] = paths(directory)
    assert reader.remove_finished() == [path.name]
    assert paths(directory) == []


def test_associations_are_open_until_they_end_or_their_writer_does(directory: Path) -> None:
    one = write(directory, record(association="a1"), association=b"a1")
    two = write(directory, record(association="a2"), association=b"a2")
    reader = JournalReader(str(directory), {})
    states = reader.read(LATER).files
    assert reader.open_associations() == {"a1", "a2"}
    one.end_association()
    reader.read(LATER)
    assert reader.open_associations() == {"a2"}
    later = JournalReader(str(directory), states)
    later.read(LATER)
    assert later.open_associations() == {"a2"}
    two.close()
    reader.read(LATER)
    assert reader.open_associations() == set()
    one.close()


def test_damage_is_put_aside_and_named(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = write(directory, record("1"), record("2"), record("3"))
    [path] = paths(directory)
    data = bytearray(path.read_bytes())
    length = len(record("1"))
    data[length + 30] ^= 1
    path.write_bytes(data)
    writer.close()
    reader = JournalReader(str(directory), {})
    assert uids(reader.read(LATER)) == ["1", "3"]
    [aside] = (directory / DAMAGED).iterdir()
    assert len(aside.read_bytes()) == length
    assert str(aside) in caplog.text
    assert path.name in caplog.text


def test_what_a_power_cut_has_taken_is_skipped(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Pages that were not written are zeros; those after them may be there."""
    writer = write(directory, *[record(str(number), location="x" * 3000) for number in range(100)])
    writer.close()
    [path] = paths(directory)
    data = bytearray(path.read_bytes())
    data[: 64 * 4096] = bytes(64 * 4096)
    path.write_bytes(data)
    reader = JournalReader(str(directory), {})
    found: list[str] = []
    for _ in range(20):
        found += uids(reader.read(LATER))
    assert found[-1] == "99"
    assert 5 < len(found) < 40
    assert len(reader.remove_finished()) == 1


def test_records_after_lost_ones_are_no_damage(directory: Path) -> None:
    """The zeros begin with a record, within what is read at once, and go on after it."""
    location = "x" * (4097 - len(record("100", location="x")))
    writer = write(directory, *[record(str(number), location=location) for number in range(100, 200)])
    writer.close()
    [path] = paths(directory)
    data = bytearray(path.read_bytes())
    data[60 * 4096 : 70 * 4096] = bytes(10 * 4096)
    path.write_bytes(data)
    reader = JournalReader(str(directory), {})
    found: list[str] = []
    removed: list[str] = []
    while not removed:
        found += uids(reader.read(LATER))
        removed = reader.remove_finished()
    assert found == [str(number) for number in (*range(100, 160), *range(170, 200))]


def test_a_record_that_is_being_written_is_waited_for(directory: Path) -> None:
    writer = write(directory, record("1"))
    [path] = paths(directory)
    data, length = record("2"), len(record("1"))
    with path.open("r+b") as file:
        file.seek(length)
        file.write(data[:100])
    reader = JournalReader(str(directory), {})
    assert uids(reader.read(LATER)) == ["1"]
    with path.open("r+b") as file:
        file.seek(length)
        file.write(data)
    assert uids(reader.read(LATER)) == ["2"]
    writer.close()


def test_a_torn_tail_of_a_dead_writer_is_put_aside(directory: Path) -> None:
    writer, torn = write(directory, record("1")), record("2")[:100]
    [path] = paths(directory)
    with path.open("r+b") as file:
        file.seek(len(record("1")))
        file.write(torn)
    writer.close()
    reader = JournalReader(str(directory), {})
    assert uids(reader.read(LATER)) == ["1"]
    assert uids(reader.read(LATER)) == []
    assert reader.remove_finished() == [path.name]
    [aside] = (directory / DAMAGED).iterdir()
    assert aside.read_bytes() == torn.rstrip(b"\0")


def test_files_of_another_boot_come_first(directory: Path) -> None:
    """Their times belong to another clock."""
    old = write(directory, record("old", published=LATER))
    [path] = paths(directory)
    path.rename(directory / path.name.replace(boot_id(), "00000000"))
    new = write(directory, record("new", published=10))
    old.close()
    reader = JournalReader(str(directory), {})
    assert uids(reader.read(100)) == ["old", "new"]
    new.close()


def test_with_a_backlog_of_another_boot_no_file_overtakes_another(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "CHUNK", 2000)
    one = write(directory, *[record(f"1.{number}", published=1000 + number) for number in range(50)])
    two = write(directory, record("2", published=2000))
    for path in paths(directory):
        path.rename(directory / path.name.replace(boot_id(), "00000000"))
    new = write(directory, record("3", published=10))
    for writer in (one, two):
        writer.close()
    reader = JournalReader(str(directory), {})
    found: list[str] = []
    while len(found) < 52:
        found += uids(reader.read(100))
    assert found == [*[f"1.{number}" for number in range(50)], "2", "3"]
    new.close()


def test_files_that_are_gone_are_known(directory: Path) -> None:
    assert JournalReader(str(directory), {"x.journal": FileState(10)}).gone() == ["x.journal"]
