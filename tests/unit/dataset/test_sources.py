"""The same walk whatever the bytes come from, and bytes that cannot be had."""

from __future__ import annotations

import errno
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.api.errors import DataSetError
from dcmrecv_core.dataset.encodings import (
    DEFLATED_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    Encoding,
)
from dcmrecv_core.dataset.scan import DataSetIndex, scan
from dcmrecv_core.dataset.sources import UNKNOWN_SIZE, ByteSource, FileSource, InflatedSource, MemorySource
from support.data.datasets import SMALL, Node, deflate, encode, positions
from support.data.generated_nodes import nodes
from support.data.sources import TinySource, unnamed_file


def summary(index: DataSetIndex) -> tuple[object, ...]:
    return list(index.elements.items()), index.pixel_offset, index.warnings


def sources(data: bytes, fd: int) -> dict[str, ByteSource]:
    os.pwrite(fd, b"prefix" + data, 0)
    return {
        "memory": MemorySource(memoryview(data)),
        "windows of a header": TinySource(data),
        "windows of 32": TinySource(data, 32),
        "file": FileSource(fd, 6, len(data)),
        "file with its start in memory": FileSource(fd, 6, len(data), memoryview(data)[: len(data) // 2]),
    }


@settings(deadline=None, max_examples=150)
@given(made=nodes(), encoding=st.sampled_from([EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG]))
def test_any_source_any_encoding(made: list[Node], encoding: Encoding) -> None:
    data = encode(made, encoding)
    fd = unnamed_file()
    try:
        for name, source in sources(data, fd).items():
            index = scan(source, encoding, whole=True)
            found = [(e.tag, e.vr, e.offset, e.end) for e in index.elements.values()]
            assert found == list(positions(made, encoding)), name
            assert index.warnings == [], name
            assert index.pixel_offset == len(data), name
    finally:
        os.close(fd)
    if encoding == EXPLICIT_LITTLE:
        for deflated in (MemorySource(memoryview(deflate(data))), TinySource(deflate(data))):
            inflated = scan(deflated, DEFLATED_LITTLE, whole=True)
            assert summary(inflated) == summary(scan(MemorySource(memoryview(data)), encoding, whole=True))


@settings(deadline=None, max_examples=300)
@given(
    encoding=st.sampled_from([EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG]),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_mutated_data_give_an_index_or_a_data_set_error(encoding: Encoding, changes: list[tuple[int, int]]) -> None:
    data = bytearray(encode(SMALL, encoding))
    for place, value in changes:
        data[place % len(data)] = value
    outcomes = []
    for source in (MemorySource(memoryview(data)), TinySource(bytes(data))):
        try:
            outcomes.append(summary(scan(source, encoding, whole=True)))
        except DataSetError as error:
            outcomes.append((error.comment, error.elements))
        lenient = scan(source, encoding, whole=False)
        assert lenient.pixel_offset <= len(data)
    assert outcomes[0] == outcomes[1]


@settings(deadline=None, max_examples=100)
@given(data=st.binary(max_size=300))
def test_garbage_gives_an_index_or_a_data_set_error(data: bytes) -> None:
    for encoding in (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE):
        try:
            scan(MemorySource(memoryview(data)), encoding, whole=True)
        except DataSetError:
            continue


def test_skipped_values_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode([Node(0x00091001, "OB", bytes(1 << 20)), *SMALL[4:5]], EXPLICIT_LITTLE)
    fd = unnamed_file(data)
    read = 0
    pread = os.pread

    def counting(fd: int, length: int, offset: int) -> bytes:
        nonlocal read
        read += length
        return pread(fd, length, offset)

    monkeypatch.setattr(os, "pread", counting)
    try:
        assert len(scan(FileSource(fd, 0, len(data)), EXPLICIT_LITTLE, whole=True).elements) == 2
    finally:
        os.close(fd)
    assert read < 64 * 1024


def test_file_that_cannot_be_read() -> None:
    fd = unnamed_file(encode(SMALL, EXPLICIT_LITTLE))
    try:
        with pytest.raises(OSError) as caught:
            scan(FileSource(fd, 0, 1 << 20), EXPLICIT_LITTLE, whole=True)
        assert caught.value.errno == errno.EIO, "shorter than it was told"
    finally:
        os.close(fd)
    with pytest.raises(OSError) as caught:
        scan(FileSource(fd, 0, 100), EXPLICIT_LITTLE, whole=False)
    assert caught.value.errno == errno.EBADF


def test_file_windows() -> None:
    fd = unnamed_file(b"prefix" + bytes(range(200)))
    try:
        source = FileSource(fd, 6, 200, memoryview(bytes(range(50))))
        assert bytes(source.window(10, 20)[:20]) == bytes(range(10, 30))
        assert bytes(source.window(40, 20)[:20]) == bytes(range(40, 60)), "across the end of what is in memory"
        assert bytes(source.window(190, 20)) == bytes(range(190, 200))
        assert bytes(source.window(200, 1)) == b""
    finally:
        os.close(fd)


def test_inflated_windows_at_any_offset() -> None:
    data = random.Random(7).randbytes(700_000) + bytes(2_000_000)
    source = InflatedSource(MemorySource(memoryview(deflate(data))))
    assert source.size == UNKNOWN_SIZE
    offsets = [0, 100, 400_000, 399_990, 50, 650_000, len(data) - 5, 10, len(data), len(data) + 9]
    for offset in offsets:
        for length in (1, 12, 600_000):
            got = bytes(source.window(offset, length)[:length])
            assert got == data[offset : offset + length], (offset, length)
    assert source.size == len(data)
