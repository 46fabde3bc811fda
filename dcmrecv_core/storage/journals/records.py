"""What the journal says of stored instances: records, and their bytes.

    record    magic, CRC-32 of the body, length of the body (4 bytes each, little endian), body
    body      `_FIXED`, then the texts, whose lengths are in it; what follows them is the digest

A reader has to expect a record that is torn (the power failed), in the middle too, and one that is not complete
yet (it is being written): both fail their checksum.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import NamedTuple
from zlib import crc32

MAGIC = b"\x91jr1"
HEAD = Struct("<4sII")
TEXTS = 14
"""Texts in a record with a length; the names are those of the fields of `Record`, from `location` on."""

ELEMENTS = (0x0020000D, 0x0020000E, 0x00100020, 0x00080060, 0x00080005)
"""Study and Series Instance UID, Patient ID, Modality, Specific Character Set: as they are, the reader decodes them."""

LONGEST_VALUE = 1024
"""Bytes of each: they have 64 at most, and one that is too long must not look like another one."""

_FIXED = Struct(f"<BBHQQQI{TEXTS - 1}H")
_LONGEST_TEXT = 0xFFFF

HOW = ("new", "replaced", "kept")


class Kind(IntEnum):
    """What a record says."""

    STORED = 1
    RECOVERED = 2
    """As STORED, found after a power cut by its file."""
    ASSOCIATION_ENDED = 3


class Record(NamedTuple):
    """A record: texts as they were received, undecoded. Times are nanoseconds: `published` since the boot, `received`
    since 1970."""

    kind: Kind
    how: int
    published: int
    received: int
    size: int
    location: bytes = b""
    sop_class_uid: bytes = b""
    sop_instance_uid: bytes = b""
    transfer_syntax_uid: bytes = b""
    study_instance_uid: bytes = b""
    series_instance_uid: bytes = b""
    patient_id: bytes = b""
    modality: bytes = b""
    specific_character_set: bytes = b""
    original_uid_hash: bytes = b""
    calling_ae_title: bytes = b""
    called_ae_title: bytes = b""
    peer_address: bytes = b""
    association_id: bytes = b""
    digest: bytes = b""


def encode(
    kind: int, how: int, published: int, received: int, size: int, texts: tuple[bytes, ...], digest: bytes = b""
) -> bytes:
    """A record with these `TEXTS` texts."""
    body = b"".join((_FIXED.pack(kind, how, 0, published, received, size, *map(len, texts)), *texts, digest))
    return HEAD.pack(MAGIC, crc32(body), len(body)) + body


def decode(data: bytes | memoryview) -> Record:
    """The record that `data` begins with. Raises ValueError if it is damaged."""
    if len(data) < HEAD.size:
        raise ValueError("it is too short")
    magic, checksum, length = HEAD.unpack_from(data)
    body = bytes(data[HEAD.size : HEAD.size + length])
    if magic != MAGIC or len(body) != length or length < _FIXED.size or crc32(body) != checksum:
        raise ValueError("its checksum is wrong")
    kind, how, _, published, received, size, *lengths = _FIXED.unpack_from(body)
    texts: list[bytes] = []
    position = _FIXED.size
    for each in lengths:
        texts.append(body[position : position + each])
        position += each
    texts.append(body[position:])
    return Record(Kind(kind), how, published, received, size, *texts)


class Read(NamedTuple):
    """A record in a file, from `offset` to `end`; `record` is None for bytes that are none."""

    offset: int
    end: int
    record: Record | None


def read_records(data: bytes, start: int = 0) -> Iterator[Read]:
    """The records in `data`, and the damaged bytes between them; damaged bytes at the end are left out, because they
    may be a record that is being written. Offsets count from `start`, which is that of the first byte."""
    position = 0
    while position < len(data):
        try:
            record = decode(memoryview(data)[position:])
        except ValueError:
            following = _next_record(data, position + 1)
            if following is None:
                return
            yield Read(start + position, start + following, None)
            position = following
        else:
            end = position + HEAD.size + HEAD.unpack_from(data, position)[2]
            yield Read(start + position, start + end, record)
            position = end


def _next_record(data: bytes, position: int) -> int | None:
    while (position := data.find(MAGIC, position)) >= 0:
        try:
            decode(memoryview(data)[position:])
        except ValueError:
            position += 1
        else:
            return position
    return None
