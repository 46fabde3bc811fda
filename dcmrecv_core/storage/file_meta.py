"""Reads the File Meta Information of any DICOM file (PS3.10 section 7.1)."""

from __future__ import annotations

import os
from struct import Struct
from typing import NamedTuple

from dcmrecv_core.storage.part10 import PREAMBLE_LENGTH

_LIMIT = 1 << 20
"""File Meta Information is some hundred bytes; private information in it may be more."""

_HEADER = Struct("<HH2sH")
_LONG = Struct("<I")
_LONG_VRS = (b"OB", b"OW", b"UN", b"SQ", b"UT")
_NEEDED = {2: "Media Storage SOP Class UID", 3: "Media Storage SOP Instance UID", 0x10: "Transfer Syntax UID"}


class FileMeta(NamedTuple):
    """What a sender needs of a file; the data set begins at `offset`."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    offset: int


def read_file_meta(fd: int) -> FileMeta:
    """Raises ValueError, with the reason, if it is not a DICOM file or names not all of them; OSError."""
    meta = find_file_meta(fd)
    for text, (number, name) in zip(meta[:3], _NEEDED.items(), strict=True):
        if not text:
            raise ValueError(f"no {name} (0002,{number:04X})")
    return meta


def find_file_meta(fd: int) -> FileMeta:
    """As `read_file_meta`, with "" for what is not there."""
    values, offset = meta_values(os.pread(fd, _LIMIT, 0))
    texts = {number: values.get(number, b"").partition(b"\0")[0].strip(b" ").decode("latin-1") for number in _NEEDED}
    return FileMeta(texts[2], texts[3], texts[0x10], offset)


def meta_values(head: bytes) -> tuple[dict[int, bytes], int]:
    """The UIDs of a file, unchanged, by element number, and where the data set begins.

    `head` is the file, or as much of it as its File Meta Information may have. Raises ValueError as `read_file_meta`.
    """
    if head[PREAMBLE_LENGTH : PREAMBLE_LENGTH + 4] != b"DICM":
        raise ValueError(f"no DICM at byte {PREAMBLE_LENGTH}")
    values: dict[int, bytes] = {}
    position = PREAMBLE_LENGTH + 4
    while position + _HEADER.size <= len(head):
        group, number, vr, length = _HEADER.unpack_from(head, position)
        if group != 2:
            break
        position += _HEADER.size
        if vr in _LONG_VRS:
            if position + _LONG.size > len(head):
                raise ValueError("File Meta Information ends too early")
            (length,) = _LONG.unpack_from(head, position)
            position += _LONG.size
        if position + length > len(head):
            raise ValueError("File Meta Information ends too early")
        if number in _NEEDED:
            values[number] = head[position : position + length]
        position += length
    return values, position
