"""Data sets for tests, encoded by rules of their own, so that the walker does not judge itself."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dcmrecv_core.dataset.encodings import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    UNDEFINED_LENGTH,
    Encoding,
)
from support.uids import CT

LONG_VRS = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXEL_DATA = 0x7FE00010


@dataclass(frozen=True)
class Node:
    """An element. `value`: bytes, or the items of a sequence, each a list of nodes, or fragments (a tuple of bytes)."""

    tag: int
    vr: str
    value: bytes | list[list[Node]] | tuple[bytes, ...]
    undefined: bool = False
    """Undefined length of the sequence and its items."""


def tag_bytes(tag: int, encoding: Encoding) -> bytes:
    return struct.pack("<HH" if encoding.little else ">HH", tag >> 16, tag & 0xFFFF)


def number(value: int, encoding: Encoding) -> bytes:
    return struct.pack("<I" if encoding.little else ">I", value)


def item(tag: int, length: int, encoding: Encoding) -> bytes:
    return tag_bytes(tag, encoding) + number(length, encoding)


def header(tag: int, vr: str, length: int, encoding: Encoding) -> bytes:
    if not encoding.explicit:
        return tag_bytes(tag, encoding) + number(length, encoding)
    if vr in LONG_VRS:
        return tag_bytes(tag, encoding) + vr.encode() + b"\0\0" + number(length, encoding)
    return tag_bytes(tag, encoding) + vr.encode() + struct.pack("<H" if encoding.little else ">H", length)


def encode_node(node: Node, encoding: Encoding) -> bytes:
    if isinstance(node.value, bytes):
        return header(node.tag, node.vr, len(node.value), encoding) + node.value
    if isinstance(node.value, tuple):
        fragments = b"".join(item(ITEM, len(part), encoding) + part for part in node.value)
        end = item(SEQUENCE_END, 0, encoding)
        return header(node.tag, node.vr, UNDEFINED_LENGTH, encoding) + fragments + end
    inner = IMPLICIT_LITTLE if node.vr == "UN" else encoding
    items = b"".join(encode_item(nodes, inner, node.undefined) for nodes in node.value)
    if node.undefined:
        return header(node.tag, node.vr, UNDEFINED_LENGTH, encoding) + items + item(SEQUENCE_END, 0, inner)
    return header(node.tag, node.vr, len(items), encoding) + items


def encode_item(nodes: Sequence[Node], encoding: Encoding, undefined: bool) -> bytes:
    content = encode(nodes, encoding)
    if undefined:
        return item(ITEM, UNDEFINED_LENGTH, encoding) + content + item(ITEM_END, 0, encoding)
    return item(ITEM, len(content), encoding) + content


def encode(nodes: Sequence[Node], encoding: Encoding) -> bytes:
    return b"".join(encode_node(node, encoding) for node in nodes)


def positions(nodes: Sequence[Node], encoding: Encoding) -> Iterator[tuple[int, str, int, int]]:
    """(tag, VR as received, offset, end) of each top-level element."""
    offset = 0
    for node in nodes:
        end = offset + len(encode_node(node, encoding))
        yield node.tag, node.vr if encoding.explicit else "", offset, end
        offset = end


def element(tag: int, vr: str, value: bytes, *, explicit: bool = True, little: bool = True) -> bytes:
    """One data element (PS3.5 section 7.1); the value is given in the right byte order and padded here."""
    value += (b" " if vr in ("DA", "LO", "SH", "CS", "PN") else b"\0") * (len(value) % 2)
    return header(tag, vr, len(value), Encoding(explicit, little)) + value


def identification(
    sop_class: str, sop_instance: str, series_date: bytes | None = b"20200102", vr: str = "DA", **encoding: bool
) -> bytes:
    """The SOP Common elements and the Series Date."""
    elements = [(0x00080016, "UI", sop_class.encode("latin-1")), (0x00080018, "UI", sop_instance.encode("latin-1"))]
    if series_date is not None:
        elements.append((0x00080021, vr, series_date))
    elements.append((0x00100010, "PN", b"Doe^Jane"))
    return b"".join(element(*parts, **encoding) for parts in elements)


def pixel_data(size: int = 512) -> bytes:
    return element(PIXEL_DATA, "OW", bytes(range(256)) * (size // 256))


def pixel_data_header(length: int) -> bytes:
    """The first 12 bytes of native pixel data that is sent piece by piece."""
    return header(PIXEL_DATA, "OW", length, EXPLICIT_LITTLE)


def encapsulated_pixel_data(fragments: Iterable[bytes] = (b"\xff\xd8\xff\xd9" * 20, b"fragment two")) -> bytes:
    """Pixel data in items: an empty offset table, the fragments, the delimiter (PS3.5 section A.4)."""
    return encode_node(Node(PIXEL_DATA, "OB", (b"", *fragments)), EXPLICIT_LITTLE)


def instance_of(sop_class: str, sop_instance: str, **details: object) -> bytes:
    """A small explicit little endian data set of the class and instance."""
    return identification(sop_class, sop_instance, **details) + pixel_data()  # type: ignore[arg-type]


def deflate(data: bytes, *, padded: bool = False) -> bytes:
    """Raw deflate, `padded` to an even length as it is sent (PS3.5 section A.5)."""
    compressor = zlib.compressobj(wbits=-15)
    packed = compressor.compress(data) + compressor.flush()
    return packed + bytes(len(packed) % 2) if padded else packed


SMALL = [
    Node(0x00080005, "CS", b"ISO_IR 100"),
    Node(0x00080016, "UI", CT.encode() + b"\0"),
    Node(0x00080018, "UI", b"1.2.3.4.5."),
    Node(0x00081140, "SQ", [[Node(0x00081150, "UI", b"1.2\0")], []], undefined=True),
    Node(0x00100010, "PN", b"Doe^Jane"),
    Node(0x00400275, "SQ", [[Node(0x00400007, "LO", b"Head")]]),
    Node(PIXEL_DATA, "OW", bytes(range(64))),
]
"""One of each: text, both kinds of sequences, pixel data."""

ENCODINGS = {"explicit": EXPLICIT_LITTLE, "implicit": IMPLICIT_LITTLE, "big-endian": EXPLICIT_BIG}
