"""Real data sets with delimiters, VRs, lengths, elements and character sets exchanged, as odd senders send them."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from pydicom._dicom_dict import DicomDictionary

from dcmrecv_core.dataset.encodings import SHORT_VRS, UNDEFINED_LENGTH, Encoding, encoding_of
from support.data.datasets import (
    ENCODINGS,
    ITEM,
    ITEM_END,
    LONG_VRS,
    PIXEL_DATA,
    SEQUENCE_END,
    SMALL,
    Node,
    encode,
    item,
)
from support.data.generated_nodes import SEQUENCES
from support.data.samples import data_set_files, data_set_of
from support.fuzz.dataset_targets import NESTED
from support.uids import BIG_ENDIAN, EXPLICIT_LE, IMPLICIT_LE

LARGEST = 20_000
_SEQUENCE_TAGS = frozenset(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ")
_VRS = (*sorted(SHORT_VRS), *sorted(LONG_VRS), "ox", "sq", "XX", "??", "  ", "\0\0", "\1\2")
_LENGTHS = (0, 1, 2, 8, 0xFFFF, 0xFFFFFFFE, UNDEFINED_LENGTH)
_TERMS = (
    *("", "ISO_IR 100", "ISO_IR 192", "GB18030", "ISO_IR 999", "hex", "undefined", "idna", "latin-1", "ISO-IR 144"),
    *("\\ISO 2022 IR 87", "ISO 2022 IR 6\\ISO 2022 IR 149", "ISO_IR 192\\ISO_IR 100", "\0\xff"),
    *("ISO 2022 IR 87", "ISO 2022 IR 159\\ISO 2022 IR 87"),
)
_TRAILERS = (
    b"\xff",
    b"\xff" * 8,
    b"\xff" * 11,
    b"\0",
    bytes(8),
    bytes(30),
    b" ",
    b" " * 10,
    b"\r\n",
    b"\n",
    b"\xaa" * 8,
)


class Seed(NamedTuple):
    name: str
    syntax: str
    data: bytes


@cache
def seeds() -> tuple[Seed, ...]:
    """Made data sets, and pydicom's test files in transfer syntaxes that are known; not deflated."""
    made = [
        Seed(f"{kind}-{name}", syntax, encode(nodes, encoding))
        for (name, encoding), syntax in zip(ENCODINGS.items(), (EXPLICIT_LE, IMPLICIT_LE, BIG_ENDIAN), strict=True)
        for kind, nodes in (("small", SMALL), ("nested", NESTED[:-1]))
    ]
    for path in data_set_files():
        found = data_set_of(path)
        if found is None or len(found[1]) > LARGEST:
            continue
        encoding = encoding_of(found[0])
        if encoding is not None and not encoding.deflated and len(headers(found[1], encoding)) > 3:
            made.append(Seed(path.name, found[0], found[1]))
    return tuple(made)


class Header(NamedTuple):
    """A header in a sound data set, at any depth; `end`: of the element's value, of the header if that is entered."""

    offset: int
    tag: int
    length_at: int
    length_size: int
    end: int


def headers(data: bytes, encoding: Encoding) -> list[Header]:
    """All headers of a sound data set, those of items and delimiters too, by rules of their own."""
    order = "little" if encoding.little else "big"

    def read(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]

    found, at, in_fragments = [], 0, False
    while at + 8 <= len(data):
        tag = read(at, 2) << 16 | read(at + 2, 2)
        vr = data[at + 4 : at + 6].decode("latin-1") if encoding.explicit and tag >> 16 != 0xFFFE else ""
        length_at, size = (at + 4, 4) if not vr else (at + 8, 4) if vr in LONG_VRS else (at + 6, 2)
        length, value = read(length_at, size), length_at + size
        is_sequence = vr == "SQ" or (not vr and tag in _SEQUENCE_TAGS)
        entered = is_sequence or tag >> 16 == 0xFFFE or (length == UNDEFINED_LENGTH and size == 4)
        if tag == ITEM and in_fragments:
            entered = False
        in_fragments = (in_fragments and tag == ITEM) or (length == UNDEFINED_LENGTH and tag == PIXEL_DATA)
        end = value if entered else value + length
        found.append(Header(at, tag, length_at, size, end))
        at = end
    return found


def odd(chance: random.Random, seed: Seed) -> bytes:
    """The seed with one to three changes."""
    data, encoding = seed.data, encoding_of(seed.syntax)
    assert encoding is not None
    for _ in range(chance.choice((1, 1, 2, 3))):
        known = headers(data, encoding)
        if not known:
            return data
        data = chance.choice(_CHANGES)(chance, data, encoding, chance.choice(known))
    return data


def _another_vr(chance: random.Random, data: bytes, encoding: Encoding, at: Header) -> bytes:
    vr = chance.choice(_VRS).encode("latin-1")
    if not encoding.explicit:
        return data
    if chance.random() < 0.5:
        return data[: at.offset + 4] + vr + data[at.offset + 6 :]
    # with a length field as long as the VR needs
    length = int.from_bytes(data[at.length_at : at.length_at + at.length_size], "little" if encoding.little else "big")
    if length == 0xFFFF and at.length_size == 2:
        return data
    size = 4 if vr.decode("latin-1") in LONG_VRS or chance.random() < 0.3 else 2
    order = "little" if encoding.little else "big"
    field = (b"\0\0" if size == 4 else b"") + (length & (1 << 8 * size) - 1).to_bytes(size, order)  # type: ignore[arg-type]
    return data[: at.offset + 4] + vr + field + data[at.length_at + at.length_size :]


def _another_length(chance: random.Random, data: bytes, encoding: Encoding, at: Header) -> bytes:
    order = "little" if encoding.little else "big"
    length = int.from_bytes(data[at.length_at : at.length_at + at.length_size], order)  # type: ignore[arg-type]
    other = chance.choice((*_LENGTHS, length + 1, length - 1, length + 2, length - 2, length + 8, length - 8))
    field = (other & (1 << 8 * at.length_size) - 1).to_bytes(at.length_size, order)  # type: ignore[arg-type]
    return data[: at.length_at] + field + data[at.length_at + at.length_size :]


def _delimiter(chance: random.Random, data: bytes, encoding: Encoding, at: Header) -> bytes:
    tag = chance.choice((ITEM_END, SEQUENCE_END, ITEM_END, SEQUENCE_END, ITEM))
    delimiter = item(tag, chance.choice((0, 0, 0, 4, UNDEFINED_LENGTH)), encoding)
    if at.tag >> 16 == 0xFFFE and chance.random() < 0.5:
        return data[: at.offset] + delimiter + data[at.offset + 8 :]
    return data[: at.offset] + delimiter * chance.choice((1, 1, 2)) + data[at.offset :]


def _without(chance: random.Random, data: bytes, encoding: Encoding, at: Header) -> bytes:
    end = at.end if chance.random() < 0.7 else at.length_at + at.length_size
    return data[: at.offset] + data[end:]


def _elsewhere(chance: random.Random, data: bytes, encoding: Encoding, at: Header) -> bytes:
    """The element again, before another one."""
    there = chance.choice(headers(data, encoding)).offset
    return data[:there] + data[at.offset : at.end] + data[there:]


def _no_items(chance: random.Random, data: bytes, encoding: Encoding, at: Header) -> bytes:
    """Before it, a sequence that holds other bytes."""
    node = Node(
        chance.choice(SEQUENCES), "SQ", chance.choice((b"NONE", b"no items here", item(ITEM, 2, encoding), b""))
    )
    return data[: at.offset] + encode([node], encoding) + data[at.offset :]


def _future(chance: random.Random, data: bytes, encoding: Encoding, at: Header) -> bytes:
    """Before it, an element of a VR of the future with items."""
    inner = chance.choice((encoding, Encoding(explicit=False)))
    node = Node(0x00091001, "UN", [[Node(0x00400007, "LO", b"inside")]], undefined=chance.random() < 0.8)
    other = Node(0x00091001, "SQ", node.value, node.undefined)
    made = encode([other if inner is encoding else node], encoding)
    vr = chance.choice((b"XX", b"sq", b"ox"))
    return data[: at.offset] + (made[:4] + vr + made[6:] if encoding.explicit else made) + data[at.offset :]


def _character_set(chance: random.Random, data: bytes, encoding: Encoding, at: Header) -> bytes:
    term = chance.choice(_TERMS).encode("latin-1")
    made = encode([Node(0x00080005, "CS", term + b" " * (len(term) % 2))], encoding)
    named = [each for each in headers(data, encoding) if each.tag == 0x00080005]
    if named and chance.random() < 0.8:
        old = chance.choice(named)
        return data[: old.offset] + made + data[old.end :]
    return made + data if chance.random() < 0.5 else data[: at.offset] + made + data[at.offset :]


def _characters(chance: random.Random, data: bytes, encoding: Encoding, at: Header) -> bytes:
    value = at.length_at + at.length_size
    count = min(at.end - value, chance.randint(1, 4))
    place = chance.randint(value, max(value, at.end - count))
    return (
        data[:place]
        + bytes(chance.choice((0x1B, 0x24, 0x42, 0x81, 0xC3, 0xFF, 0x5C)) for _ in range(count))
        + data[place + count :]
    )


def _trailer(chance: random.Random, data: bytes, encoding: Encoding, at: Header) -> bytes:
    return data + chance.choice(_TRAILERS)


def _cut(chance: random.Random, data: bytes, encoding: Encoding, at: Header) -> bytes:
    return data[: chance.choice((at.offset, at.offset + 4, at.end, at.end - 1))]


_CHANGES: tuple[Callable[[random.Random, bytes, Encoding, Header], bytes], ...] = (
    *(_another_vr, _another_vr, _another_length, _delimiter, _delimiter, _without, _elsewhere, _no_items, _future),
    *(_character_set, _characters, _trailer, _cut),
)
