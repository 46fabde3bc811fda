"""Makes and reads what comes before the data set in a DICOM file: preamble, prefix and File Meta Information (PS3.10
section 7.1).

What is made: 128 zero bytes (never the sender's preamble, which can make the file valid in another format too), `DICM`,
and group 2 in explicit VR little endian, in the order of DCMTK dcmrecv:

    (0002,0000) UL  length of what follows
    (0002,0001) OB  00 01
    (0002,0002) UI  SOP class        (0002,0003) UI  SOP instance       (0002,0010) UI  transfer syntax
    (0002,0012) UI  our implementation class UID    (0002,0013) SH  our implementation version name
    (0002,0016) AE  calling AE title, only with --bit-preserving
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from dcmrecv_core.api.version import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

PREAMBLE_LENGTH = 128
MAGIC_LENGTH = PREAMBLE_LENGTH + 4
"""Length of preamble and `DICM`; File Meta Information follows."""

_GROUP_LENGTH = Struct("<HH2sHI")
_SHORT_HEADER = Struct("<HH2sH")
_START = bytes(PREAMBLE_LENGTH) + b"DICM"
_VERSION = bytes.fromhex("02000100") + b"OB" + bytes.fromhex("0000020000000001")
_LONGEST_VALUE = 0xFFFE
LIMIT = 1 << 20
"""File Meta Information is some hundred bytes; private information in it may be more."""

_LONG_LENGTH = Struct("<I")
_LONG_VRS = (b"OB", b"OW", b"UN", b"SQ", b"UT")
_VERSION_NAME = re.compile(rb"DCMRECV_PY_\d{3}")
_NEEDED = {2: "Media Storage SOP Class UID", 3: "Media Storage SOP Instance UID", 0x10: "Transfer Syntax UID"}


def file_prefix(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str | None = None
) -> bytes:
    """The bytes up to the data set. Characters outside Latin-1 become ?; values too long for 16 bits are cut."""
    value = sop_instance_uid.encode("latin-1", "replace")[:_LONGEST_VALUE]
    if len(value) & 1:
        value += b"\0"
    before, after = _around_instance(sop_class_uid, transfer_syntax_uid, source_ae_title, len(value))
    return before + value + after


@lru_cache(maxsize=256)
def _around_instance(
    sop_class_uid: str, transfer_syntax_uid: str, source_ae_title: str | None, length: int
) -> tuple[bytes, bytes]:
    """All around a SOP Instance UID of this length, which is nearly always the same in an association."""
    before = _VERSION + _element(0x0002, b"UI", sop_class_uid) + _SHORT_HEADER.pack(2, 0x0003, b"UI", length)
    after = (
        _element(0x0010, b"UI", transfer_syntax_uid)
        + _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID)
        + _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME)
    )
    if source_ae_title is not None:
        after += _element(0x0016, b"AE", source_ae_title)
    return _START + _GROUP_LENGTH.pack(2, 0, b"UL", 4, len(before) + length + len(after)) + before, after


def _element(number: int, vr: bytes, text: str) -> bytes:
    value = text.encode("latin-1", "replace")[:_LONGEST_VALUE]
    if len(value) & 1:
        value += b"\0" if vr == b"UI" else b" "
    return _SHORT_HEADER.pack(2, number, vr, len(value)) + value


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
    values, offset = meta_values(os.pread(fd, LIMIT, 0))
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
    while position + _SHORT_HEADER.size <= len(head):
        group, number, vr, length = _SHORT_HEADER.unpack_from(head, position)
        if group != 2:
            break
        position += _SHORT_HEADER.size
        if vr in _LONG_VRS:
            if position + _LONG_LENGTH.size > len(head):
                raise ValueError("File Meta Information ends too early")
            (length,) = _LONG_LENGTH.unpack_from(head, position)
            position += _LONG_LENGTH.size
        if position + length > len(head):
            raise ValueError("File Meta Information ends too early")
        if number in _NEEDED:
            values[number] = head[position : position + length]
        position += length
    return values, position


def title_in(prefix: bytes, uids: tuple[str, str, str]) -> str | None:
    """The calling AE title in what `file_prefix` has made, in whatever version, of SOP class, SOP instance and transfer
    syntax; None if there is none. Raises ValueError if these are other bytes, the digits of the version left aside."""
    end = len(file_prefix(*uids))
    start = end - len(IMPLEMENTATION_VERSION_NAME)
    title = prefix[end + _SHORT_HEADER.size :].decode("latin-1").rstrip(" ") if len(prefix) > end else None
    made = file_prefix(*uids, title)
    if prefix[:start] + prefix[end:] != made[:start] + made[end:] or not _VERSION_NAME.fullmatch(prefix[start:end]):
        raise ValueError("its File Meta Information has changed")
    return title
