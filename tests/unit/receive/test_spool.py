"""The spool: memory first, then a file, and what becomes of it when the disk is full."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Sequence

import pytest

from dcmrecv_core.receive.spool import BeginFile, Spool, TooLargeError
from support.data.sources import unnamed_file

DATA = random.Random(3).randbytes(5000)
PREFIX = b"what precedes it"


class Filled(Spool):
    """A spool that knows how its file begins."""

    def __init__(self, capacity: int, begin_file: BeginFile, largest: int | None = None) -> None:
        super().__init__(bytearray(capacity), largest)
        self._begin_file = begin_file

    def put(self, fragments: Sequence[memoryview], *, last: bool = False) -> None:
        self.append(fragments, self._begin_file, last=last)


def make(
    capacity: int, opened: list[int] | None = None, seen: list[bytes] | None = None, largest: int | None = None
) -> Filled:
    def begin_file(first: memoryview) -> tuple[int, bytes]:
        if seen is not None:
            seen.append(bytes(first))
        fd = unnamed_file()
        if opened is not None:
            opened.append(fd)
        return fd, PREFIX

    return Filled(capacity, begin_file, largest)


@pytest.mark.parametrize(("capacity", "largest"), [(5000, 3000), (1500, 3000), (1500, 1500)])
def test_a_data_set_has_a_largest_size(capacity: int, largest: int) -> None:
    spool = make(capacity, largest=largest)
    spool.put(fragments(DATA[:largest], 700))
    assert spool.size == largest
    with pytest.raises(TooLargeError, match=f"^Data set is larger than {largest} bytes$"):
        spool.put([memoryview(b"x")])
    spool.close()


def fragments(data: bytes, length: int) -> list[memoryview]:
    return [memoryview(data)[start : start + length] for start in range(0, len(data), length)]


def stored(spool: Spool) -> bytes:
    source = spool.source()
    assert source.size == spool.size
    return bytes(source.window(0, spool.size)[: spool.size])


def test_small_data_set_stays_in_memory() -> None:
    opened: list[int] = []
    spool = make(5000, opened)
    spool.put(fragments(DATA[:3000], 700))
    spool.put([])
    spool.put(fragments(DATA[3000:], 1))
    assert (spool.size, spool.fd, opened) == (5000, None, [])
    assert bytes(spool.data) == stored(spool) == DATA


def test_what_comes_in_one_piece_is_not_copied() -> None:
    memory = bytearray(DATA)
    spool = make(5000)
    spool.put([memoryview(memory)], last=True)
    memory[0] ^= 0xFF
    assert bytes(spool.data) == stored(spool) == bytes(memory)


@pytest.mark.parametrize("pieces", [[1000, 4000], [2000, 3000]])
def test_the_last_piece_of_several_is_copied(pieces: list[int]) -> None:
    first, last = bytearray(DATA[: pieces[0]]), bytearray(DATA[pieces[0] :])
    spool = make(5000)
    spool.put([memoryview(first)])
    spool.put([memoryview(last)], last=True)
    first[:] = last[: len(first)] = bytes(len(first))
    assert bytes(spool.data) == stored(spool) == DATA


def test_one_piece_too_large_for_memory_goes_to_a_file() -> None:
    spool = make(1500)
    spool.put([memoryview(DATA)], last=True)
    assert spool.fd is not None and stored(spool) == DATA
    spool.close()


@pytest.mark.parametrize("step", [1, 999, 5000])
def test_large_data_set_goes_to_a_file_after_its_prefix(step: int) -> None:
    seen: list[bytes] = []
    spool = make(1500, seen=seen)
    for start in range(0, len(DATA), step):
        spool.put(fragments(DATA[start : start + step], 7))
    assert seen == [DATA[: 1500 // step * step]], "asked once, with all that was in memory"
    assert spool.fd is not None
    assert os.pread(spool.fd, 9999, 0) == PREFIX + DATA
    assert (spool.prefix_length, spool.size) == (len(PREFIX), 5000)
    assert stored(spool) == DATA
    assert bytes(spool.source().window(1490, 20)[:20]) == DATA[1490:1510], "across memory and file"
    assert bytes(spool.data) == seen[0]
    spool.close()


def test_close_releases_the_file_and_makes_room() -> None:
    opened: list[int] = []
    spool = make(100, opened)
    for round_ in range(3):
        spool.put([memoryview(DATA)])
        spool.close()
        with pytest.raises(OSError):
            os.fstat(opened[round_])
        spool.put([memoryview(b"second")])
        assert (bytes(spool.data), spool.prefix_length) == (b"second", 0)
        spool.close()
        assert spool.size == 0


def test_short_writes_and_many_fragments(monkeypatch: pytest.MonkeyPatch) -> None:
    writev = os.writev
    counts = []

    def short(fd: int, buffers: Sequence[memoryview]) -> int:
        counts.append(len(buffers))
        return writev(fd, [b"".join(buffers)[:333]])

    monkeypatch.setattr(os, "writev", short)
    spool = make(10)
    spool.put(fragments(DATA, 1))
    assert max(counts) == 1024
    assert spool.fd is not None
    assert os.pread(spool.fd, 9999, 0) == PREFIX + DATA
    spool.close()


@pytest.mark.parametrize(("outcome", "expected"), [(OSError(errno.ENOSPC, "full"), errno.ENOSPC), (0, errno.EIO)])
def test_disk_full(monkeypatch: pytest.MonkeyPatch, outcome: OSError | int, expected: int) -> None:
    def full(fd: int, buffers: Sequence[memoryview]) -> int:
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    opened: list[int] = []
    spool = make(100, opened)
    monkeypatch.setattr(os, "writev", full)
    with pytest.raises(OSError) as caught:
        spool.put([memoryview(DATA)])
    assert caught.value.errno == expected
    spool.close()
    with pytest.raises(OSError):
        os.fstat(opened[0])


def test_file_that_cannot_be_opened() -> None:
    def refuse(first: memoryview) -> tuple[int, bytes]:
        raise PermissionError(errno.EACCES, "no")

    spool = Filled(10, refuse)
    with pytest.raises(PermissionError):
        spool.put([memoryview(DATA)])
    spool.close()
    spool.put([memoryview(b"next")])
    assert bytes(spool.data) == b"next"


def test_sizes_beyond_4_gib() -> None:
    spool = make(10)
    spool.put([memoryview(DATA)])
    assert spool.fd is not None
    hole = 5 << 30
    os.ftruncate(spool.fd, len(PREFIX) + hole)
    os.lseek(spool.fd, 0, os.SEEK_END)
    spool.size = hole
    spool.put([memoryview(b"the end")])
    assert spool.size == hole + 7
    assert bytes(spool.source().window(hole, 7)) == b"the end"
    spool.close()
