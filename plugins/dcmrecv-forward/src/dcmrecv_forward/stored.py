"""The file that is sent on: its File Meta Information, and where its data set begins."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from dcmrecv_core import StoredEvent, Undeliverable

_AT_ONCE = 1 << 20
_PREAMBLE = 128
_LONG_VRS = frozenset((b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
"""VRs whose length has four bytes (PS3.5 section 7.1.2)."""
_SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX = 0x0002, 0x0003, 0x0010
_LONGEST_UID = 256
"""Generous: the standard has 64. Longer values of group 0002 are skipped unread."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An open DICOM file. `offset` is where its data set begins, `size` that of the whole file, both in bytes."""

    file: BinaryIO
    size: int
    offset: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


@contextmanager
def opened(event: StoredEvent) -> Iterator[BinaryIO]:
    """The file of an event, as a file of the system: what is stored elsewhere is copied into an unnamed one first.

    Raises OSError, FileNotFoundError if it is gone, LookupError if no plugin knows its location.
    """
    with event.open() as file:
        if _is_of_system(file):
            yield file
        else:
            with tempfile.TemporaryFile() as copy:
                shutil.copyfileobj(file, copy, _AT_ONCE)
                copy.seek(0)
                yield copy


def _is_of_system(file: BinaryIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError:  # io.UnsupportedOperation: no descriptor
        return False


def read_meta(file: BinaryIO) -> StoredFile:
    """Read the File Meta Information (PS3.10 section 7.1) of an open file. Raises Undeliverable if it has none."""
    file.seek(0)
    if file.read(_PREAMBLE + 4)[_PREAMBLE:] != b"DICM":
        raise Undeliverable("the file has no File Meta Information, so what it holds is not known")
    uids = {_SOP_CLASS: "", _SOP_INSTANCE: "", _TRANSFER_SYNTAX: ""}
    offset = file.tell()
    while (header := file.read(8))[:2] == b"\x02\x00" and len(header) == 8:
        _, element, vr, length = struct.unpack("<HH2sH", header)
        if vr in _LONG_VRS:
            (length,) = struct.unpack("<I", file.read(4).ljust(4, b"\0"))
        if element in uids and length <= _LONGEST_UID:
            uids[element] = file.read(length).rstrip(b"\0 ").decode("ascii", "replace")
        else:
            file.seek(length, os.SEEK_CUR)
        offset = file.tell()
    if not all(uids.values()):
        raise Undeliverable("the File Meta Information lacks SOP class, SOP instance or transfer syntax")
    size = os.fstat(file.fileno()).st_size
    if size <= offset:
        raise Undeliverable("the file has no data set")
    return StoredFile(file, size, offset, *uids.values())
