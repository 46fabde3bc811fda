"""Values of single elements and the header of a data set that was walked.

Bytes and UIDs are had as they are; all else is decoded by pydicom, which is loaded when it is first needed: 0.15 s that
a receiver which files by UIDs and dates never spends. `encoding` is always the one that `index` was scanned in. All
raise OSError if the source cannot be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dcmrecv_core.api.model import RawElement, TagLike
from dcmrecv_core.dataset.elements import DataSetIndex, Element
from dcmrecv_core.dataset.encodings import UNDEFINED_LENGTH, Encoding

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

HEADER_VALUE_LIMIT = 65536
"""Longer values are not in the header; each can be had on its own."""

HEADER_LIMIT = 8 << 20
"""Values of the header together, in bytes; a real one has some ten thousand."""

_LONGEST_UID_FIELD = 1024  # a UID has 64 characters, but what is too long must not look like another one


def get_value(index: DataSetIndex, encoding: Encoding, element: TagLike, default: Any = None) -> Any:
    """The value of one top-level element as pydicom converts it, or `default` if it is absent or empty.

    A value that breaks the rules of its VR is returned all the same, as bytes if nothing else can be made of it.
    Raises KeyError for an unknown keyword.
    """
    from dcmrecv_core.dataset import decoding

    return decoding.get_value(index, encoding, element, default)


def get_raw(index: DataSetIndex, encoding: Encoding, element: TagLike, limit: int | None = None) -> RawElement | None:
    """One top-level element as received, its delimiter not counted, at most `limit` bytes of its value; None if it is
    absent. Raises KeyError for an unknown keyword."""
    tag = element
    if not isinstance(tag, int):
        from dcmrecv_core.dataset import decoding

        tag = decoding.tag_of(index, encoding, element)
    found = index.get(tag)
    return None if found is None else RawElement(found.vr, value_of(index, found, limit))


def read_header(index: DataSetIndex, encoding: Encoding) -> Dataset:
    """All top-level elements before the pixel data but those that are left out for their size."""
    from dcmrecv_core.dataset import decoding

    return decoding.read_header(index, encoding)


def split_header(index: DataSetIndex) -> tuple[list[Element], list[Element]]:
    """The elements before the pixel data: those of the header, and those that are too long for it, a sequence with
    all that it holds, or come after so many others that the header is full."""
    inside: list[Element] = []
    left_out: list[Element] = []
    room = HEADER_LIMIT
    for element in index.elements.values():
        if element.offset < index.pixel_offset:
            length = element.end - element.value_offset
            if length > min(HEADER_VALUE_LIMIT, room):
                left_out.append(element)
            else:
                inside.append(element)
                room -= length
    return inside, left_out


def uid_of(index: DataSetIndex, tag: int) -> str:
    """The text of a UI element, cut at the first NUL, without trailing blanks; "" if absent or empty."""
    found = index.find(tag)
    if found is None:
        return ""
    start, (_, _, _, value_offset, length, _) = found
    if length == UNDEFINED_LENGTH:
        return ""
    length = min(length, _LONGEST_UID_FIELD)
    value = bytes(index.source.window(start + value_offset, length)[:length])
    return value.partition(b"\0")[0].rstrip(b" ").decode("latin-1")


def value_of(index: DataSetIndex, element: Element, limit: int | None = None) -> bytes:
    """The bytes of a value, at most `limit`, without the delimiter that ends one of undefined length."""
    length = element.length
    if length == UNDEFINED_LENGTH:
        length = element.end - element.value_offset - 8
    if limit is not None:
        length = min(length, limit)
    return bytes(index.source.window(element.value_offset, length)[:length])
