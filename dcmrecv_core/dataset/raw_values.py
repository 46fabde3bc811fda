"""What an index yields without pydicom: the bytes of values, UIDs, and which elements make up the header.

All raise OSError if the source cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterable

from dcmrecv_core.dataset.elements import DataSetIndex, Element, PlainElement
from dcmrecv_core.dataset.encodings import UNDEFINED_LENGTH

HEADER_VALUE_LIMIT = 65536
"""Longer values are not in the header; each can be read by itself."""

HEADER_LIMIT = 8 << 20
"""All values of the header together, in bytes; a real header has some ten thousand."""

_LONGEST_UID_FIELD = 1024  # a UID has 64 characters, but one that is too long must not look like another one


def raw_value(index: DataSetIndex, element: Element, limit: int | None = None) -> bytes:
    """The bytes of a value, at most `limit`, without the delimiter that ends one of undefined length."""
    length = element.length
    if length == UNDEFINED_LENGTH:
        length = element.end - element.value_offset - 8
    if limit is not None:
        length = min(length, limit)
    return bytes(index.source.window(element.value_offset, length)[:length])


def read_beginning(index: DataSetIndex, tag: int, limit: int) -> bytes:
    """At most `limit` bytes of the value of an element; b"" if it is absent, or of undefined length."""
    element = index.get(tag)
    if element is None or element.length == UNDEFINED_LENGTH:
        return b""
    return raw_value(index, element, limit)


def read_uid(index: DataSetIndex, tag: int) -> str:
    """The text of a UI element, cut at the first NUL, without trailing blanks; "" if absent or empty."""
    return read_beginning(index, tag, _LONGEST_UID_FIELD).partition(b"\0")[0].rstrip(b" ").decode("latin-1")


def split_header(
    index: DataSetIndex, elements: Iterable[PlainElement] | None = None
) -> tuple[list[PlainElement], list[PlainElement]]:
    """The elements before the pixel data, in two lists: those of the header, and those that it leaves out.

    The header leaves out an element that is too long (a sequence counts with all its items), and one that comes when
    the header is full. `elements` are those of the index, if the caller has them already.
    """
    inside: list[PlainElement] = []
    left_out: list[PlainElement] = []
    room, pixel_offset = HEADER_LIMIT, index.pixel_offset
    for element in index.plain_elements() if elements is None else elements:
        _, _, offset, value_offset, _, end = element
        if offset < pixel_offset:
            length = end - value_offset
            if length > HEADER_VALUE_LIMIT or length > room:
                left_out.append(element)
            else:
                inside.append(element)
                room -= length
    return inside, left_out
