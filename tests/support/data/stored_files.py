"""Files that a receiver stored."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

from support.data.datasets import LONG_VRS


class StoredFile(NamedTuple):
    """A DICOM file taken apart without the help of a DICOM library."""

    preamble: bytes
    meta: dict[int, tuple[str, bytes]]
    meta_length: int
    data: bytes


def stored_file(path: Path) -> StoredFile:
    """Preamble, File Meta Information (tag -> VR and value, in the file's order) and data set (PS3.10 section 7.1)."""
    content = path.read_bytes()
    assert content[128:132] == b"DICM"
    [length] = struct.unpack_from("<I", content, 140)
    meta, at, end = {}, 132, 144 + length
    while at < end:
        group, number, vr, size = struct.unpack_from("<HH2sH", content, at)
        at += 8
        if vr.decode() in LONG_VRS:
            [size] = struct.unpack_from("<I", content, at)
            at += 4
        meta[group << 16 | number] = (vr.decode(), content[at : at + size])
        at += size
    assert at == end, "the group length does not end at an element"
    return StoredFile(content[:128], meta, length, content[end:])
