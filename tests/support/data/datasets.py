"""Data sets for tests, encoded by rules written down here once more, so that the walker is not its own judge."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.filereader import _read_file_meta_info, read_preamble

from dcmrecv_core.dataset.encodings import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    UNDEFINED_LENGTH,
    Encoding,
)

LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
TEST_FILES = Path(pydicom.__file__).parent / "data" / "test_files"


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
    if vr in LONG:
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


def deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush()


class TinySource:
    """A source whose windows are as small as the contract allows."""

    def __init__(self, data: bytes, width: int = 1) -> None:
        self._data = data
        self._width = width
        self.size = len(data)

    def window(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + max(length, self._width)]


def unnamed_file(data: bytes = b"") -> int:
    fd = os.memfd_create("data-set")
    os.write(fd, data)
    return fd


def sample(path: Path) -> tuple[str, bytes] | None:
    """Transfer syntax and data set of a file; None if it is no DICOM file."""
    stream = io.BytesIO(path.read_bytes())
    try:
        read_preamble(stream, False)
        uid = _read_file_meta_info(stream).TransferSyntaxUID
    except (pydicom.errors.InvalidDicomError, AttributeError):
        return None
    return uid, stream.read()


def sample_files() -> list[Path]:
    return [path for path in sorted(TEST_FILES.rglob("*")) if path.is_file() and sample(path)]


SMALL = [
    Node(0x00080005, "CS", b"ISO_IR 100"),
    Node(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
    Node(0x00080018, "UI", b"1.2.3.4.5."),
    Node(0x00081140, "SQ", [[Node(0x00081150, "UI", b"1.2\0")], []], undefined=True),
    Node(0x00100010, "PN", b"Doe^Jane"),
    Node(0x00400275, "SQ", [[Node(0x00400007, "LO", b"Head")]]),
    Node(0x7FE00010, "OW", bytes(range(64))),
]
"""One of each: text, both kinds of sequences, pixel data."""

ENCODINGS = {"explicit": EXPLICIT_LITTLE, "implicit": IMPLICIT_LITTLE, "big-endian": EXPLICIT_BIG}
