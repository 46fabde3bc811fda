"""A worker's files of the journal."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dcmrecv_core.api.errors import StorageError
from dcmrecv_core.storage.hidden import is_locked
from dcmrecv_core.storage.journals import files as journal_files
from dcmrecv_core.storage.journals.files import FILE_SIZE, JournalWriter
from dcmrecv_core.storage.journals.records import Kind, read_records
from support.deliveries import record


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.journal"))


def test_the_file_is_made_for_the_first_record(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path / "journal"))
    assert not (tmp_path / "journal").exists()
    writer.make_room()
    writer.append(record(), b"a1")
    [path] = files(tmp_path / "journal")
    assert path.stat().st_size == FILE_SIZE
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes().rstrip(b"\0").startswith(record()[:4])
    writer.close()


def test_a_writer_holds_the_lock_of_its_file(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path))
    writer.append(record())
    fd = os.open(files(tmp_path)[0], os.O_RDONLY)
    assert is_locked(fd)
    writer.close()
    assert not is_locked(fd)
    os.close(fd)


def test_a_full_file_stays_locked_until_the_next_has_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_files, "RESERVE", FILE_SIZE - 100)
    writer = JournalWriter(str(tmp_path))
    writer.make_room()
    writer.append(record(), b"a1")
    [first] = files(tmp_path)
    fd = os.open(first, os.O_RDONLY)
    writer.make_room()
    assert len(files(tmp_path)) == 2
    assert is_locked(fd)
    writer.append(record(), b"a1")
    assert not is_locked(fd)
    os.close(fd)
    writer.close()


def test_the_end_of_an_association_is_written_once(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path))
    writer.end_association()
    writer.append(record(association="a1"), b"a1")
    writer.end_association()
    writer.end_association()
    writer.close()
    reads = read_records(files(tmp_path)[0].read_bytes())
    assert [read.record.kind for read in reads if read.record] == [Kind.STORED, Kind.ASSOCIATION_ENDED]


def test_no_room_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writer = JournalWriter(str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(StorageError) as failure:
            writer.make_room()
    assert failure.value.status == 0xA700
    assert failure.value.comment == "No room in the state directory: No space left on device"
    assert files(tmp_path) == []
    writer.make_room()
    writer.close()


@pytest.mark.parametrize("short", [True, False])
def test_after_a_failed_write_the_next_record_goes_to_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: bool
) -> None:
    def fails(fd: int, data: bytes) -> int:
        if short:
            return os.pwrite(fd, data[:10], 0)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    writer = JournalWriter(str(tmp_path))
    writer.make_room()
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fails)
        with pytest.raises(StorageError):
            writer.append(record())
    writer.make_room()
    writer.append(record("1.9"))
    writer.close()
    found = [read.record for path in files(tmp_path) for read in read_records(path.read_bytes())]
    assert [each.sop_instance_uid for each in found if each] == [b"1.9"]
    assert len(files(tmp_path)) == 2


def test_a_reader_that_is_quicker_takes_nothing_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a new file without a lock for a finished one."""
    locked = iter([True, False])
    monkeypatch.setattr(journal_files, "is_locked", lambda fd: next(locked))
    writer = JournalWriter(str(tmp_path))
    writer.append(record("1.5"))
    writer.close()
    found = [read.record for path in files(tmp_path) for read in read_records(path.read_bytes())]
    assert len(found) == 1


def test_a_location_may_be_longer_than_the_reserve(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path))
    writer.make_room()
    writer.append(record(location="s3://" + "x" * 50_000))
    writer.close()
    [read] = read_records(files(tmp_path)[0].read_bytes())
    assert read.record is not None
    assert len(read.record.location) == 50_005
