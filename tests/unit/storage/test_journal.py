"""The journal's writer and its records."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmrecv_core.api.errors import StorageError
from dcmrecv_core.storage import journal
from dcmrecv_core.storage.hidden import is_locked
from dcmrecv_core.storage.journal import FILE_SIZE, JournalWriter, Kind, decode, encode, make_key, read_records
from support.deliveries import record


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.journal"))


@given(st.lists(st.binary(max_size=300), min_size=15, max_size=15), st.integers(0, 2**64 - 1))
def test_a_record_is_read_as_it_was_written(texts: list[bytes], number: int) -> None:
    data = encode(Kind.STORED, 2, number, number, number, tuple(texts[:14]), texts[14])
    read = decode(data)
    assert (read.kind, read.how, read.published, read.received, read.size) == (Kind.STORED, 2, number, number, number)
    assert list(read[5:]) == texts


def test_a_record_of_before_digests_has_none() -> None:
    assert decode(record()).digest == b""
    assert decode(record(digest="xxh128:00")).digest == b"xxh128:00"


@given(st.data())
def test_one_changed_bit_is_noticed(data: st.DataObject) -> None:
    whole = bytearray(record())
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ValueError):
        decode(bytes(whole))


@pytest.mark.parametrize("cut", [0, 5, 12, 100])
def test_a_torn_tail_is_no_record(cut: int) -> None:
    whole = record()
    [read] = read_records(whole + record()[:cut] + bytes(100), 50)
    assert (read.offset, read.end, read.record) == (50, 50 + len(whole), decode(whole))


@pytest.mark.parametrize("gap", [bytes(4096), b"x" * 10, record()[:-1], record()[5:]])
def test_records_after_damage_are_found(gap: bytes) -> None:
    first, second = record("1.1"), record("1.2")
    reads = list(read_records(first + gap + second))
    assert [read.record for read in reads] == [decode(first), None, decode(second)]
    assert reads[1].end == reads[2].offset == len(first) + len(gap)


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
    monkeypatch.setattr(journal, "RESERVE", FILE_SIZE - 100)
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
    monkeypatch.setattr(journal, "is_locked", lambda fd: next(locked))
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


def test_the_key_is_made_once(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    assert len(key) == 32
    assert make_key(tmp_path / "key") == key
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
