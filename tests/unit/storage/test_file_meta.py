"""File Meta Information of others' files: what a sender takes from it, and what is no DICOM file."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dcmrecv_core.storage.file_meta import FileMeta, read_file_meta

CT = b"1.2.840.10008.5.1.4.1.1.2\0"
EXPLICIT = b"1.2.840.10008.1.2.1\0"


def element(number: int, vr: bytes, value: bytes, group: int = 2) -> bytes:
    if vr in (b"OB", b"OW", b"UN", b"SQ", b"UT"):
        return struct.pack("<HH2sHI", group, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


CLASS, INSTANCE, SYNTAX = element(2, b"UI", CT), element(3, b"UI", b"1.2.3 "), element(0x10, b"UI", EXPLICIT)
HEAD = bytes(128) + b"DICM"
Read = Callable[[bytes], FileMeta]


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Read]:
    def read_bytes(data: bytes) -> FileMeta:
        (tmp_path / "file").write_bytes(data)
        fd = os.open(tmp_path / "file", os.O_RDONLY)
        try:
            return read_file_meta(fd)
        finally:
            os.close(fd)

    return read_bytes


@pytest.mark.parametrize(
    ("more", "data_set"),
    [
        (b"", b""),
        (b"", element(5, b"CS", b"ISO_IR 100", group=8)),
        (b"", b"\x08\x00\x05"),
        (element(1, b"OB", b"\0\1"), b""),
        (element(0x102, b"OB", bytes(70000)), b""),
        (element(0x16, b"AE", b"OTHER "), b""),
    ],
    ids=["no data set", "a data set", "less than an element", "its version", "much that is private", "a title"],
)
def test_what_a_sender_needs(read: Read, more: bytes, data_set: bytes) -> None:
    """Padding with NUL or, wrongly, with blanks is no part of a UID; the data set begins where group 2 ends."""
    meta = HEAD + more + CLASS + INSTANCE + SYNTAX
    assert read(meta + data_set) == FileMeta(CT[:-1].decode(), "1.2.3", EXPLICIT[:-1].decode(), len(meta))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no DICM at byte 128"),
        (bytes(128) + b"DICOM"[:3], "no DICM at byte 128"),
        (HEAD, r"no Media Storage SOP Class UID \(0002,0002\)"),
        (HEAD + CLASS + SYNTAX, r"no Media Storage SOP Instance UID \(0002,0003\)"),
        (HEAD + CLASS + INSTANCE, r"no Transfer Syntax UID \(0002,0010\)"),
        (HEAD + CLASS + INSTANCE + element(0x10, b"UI", b"\0\0"), r"no Transfer Syntax UID \(0002,0010\)"),
        (HEAD + CLASS + INSTANCE + SYNTAX[:-1], "File Meta Information ends too early"),
        (HEAD + CLASS + element(0x102, b"OB", b"")[:-1], "File Meta Information ends too early"),
        (HEAD + CLASS + element(0x102, b"OB", b"")[:-4] + b"\xff\xff\xff\xff", "File Meta Information ends too early"),
    ],
    ids=[
        "empty",
        "cut off at once",
        "nothing but a preamble",
        "no instance",
        "no syntax",
        "an empty one",
        "a value cut off",
        "a length cut off",
        "four gigabytes",
    ],
)
def test_what_is_no_file(read: Read, data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read(data)
