"""Sequences without what pydicom misreads: it stops at some stray delimiters, takes the length of an item's delimiter
for a VR, unknown VRs for others, and pixel data of VR UN or SQ for sequences.

The walker skips a stray delimiter, and goes on with the next element or item. It knows where an element with an unknown
VR ends. pydicom has to give hooks the same elements, so here stray delimiters are cut out, the lengths of the items and
sequences around them are reduced, and VRs become those that pydicom reads in the same way.
"""

from __future__ import annotations

from typing import Literal

from dcmrecv_core.dataset.elements import PIXEL_DATA_TAGS, DataSetIndex, Element
from dcmrecv_core.dataset.encodings import UNDEFINED_LENGTH, Encoding, HeaderFormat
from dcmrecv_core.dataset.odd_places import ITEMS_HEAD, format_of_items
from dcmrecv_core.dataset.sources import MemorySource
from dcmrecv_core.dataset.walker import Walker

_DELIMITER_LENGTH = 8
_SHORT_HEADER = 8
_VR = 4  # where it is in a header
_ITEM_LENGTH = 4  # where it is in an item or a delimiter
_LENGTH_FIELD = 4  # directly before the value of an item, and of a sequence in any VR


def mended_value(index: DataSetIndex, encoding: Encoding, element: Element) -> bytes:
    """As `raw_values.raw_value`, for pydicom. `encoding` is the one that `index` was scanned in. Raises OSError if the
    source cannot be read."""
    length = element.end - element.offset
    data = bytes(index.source.window(element.offset, length)[:length])
    finder = _Finder(data, Encoding(explicit=bool(element.vr), little=encoding.little))
    finder.walk_from(0)  # the first walk has decided which format it is
    mended = _mended(data, finder)
    end = len(mended) - _DELIMITER_LENGTH if element.length == UNDEFINED_LENGTH else len(mended)
    return mended[element.value_offset - element.offset : end]


def _mended(data: bytes, finder: _Finder) -> bytes:
    if not finder.strays_at and not finder.patches:
        return data
    patched = bytearray(data)
    for at, patch in finder.patches:
        patched[at : at + len(patch)] = patch
    for at, order, count in finder.lengths:
        field = slice(at, at + _LENGTH_FIELD)
        reduced = int.from_bytes(patched[field], order) - count * _DELIMITER_LENGTH
        patched[field] = reduced.to_bytes(_LENGTH_FIELD, order)
    starts = [0, *(at + _DELIMITER_LENGTH for at in finder.strays_at)]
    return b"".join(patched[start:end] for start, end in zip(starts, [*finder.strays_at, len(data)], strict=True))


class _Finder(Walker):
    """Walks through one element again, and notes where pydicom would misread it."""

    __slots__ = ("_open", "lengths", "patches", "strays_at")

    def __init__(self, data: bytes, encoding: Encoding) -> None:
        super().__init__(DataSetIndex(MemorySource(memoryview(data))), encoding, whole=True)
        self.strays_at: list[int] = []
        """Offsets, ascending."""
        self.lengths: list[tuple[int, Literal["little", "big"], int]] = []
        """Length fields: offset, byte order, how many stray delimiters they count."""
        self.patches: list[tuple[int, bytes]] = []
        """In items: what the VRs and lengths at these offsets have to be."""
        self._open: list[tuple[int, int]] = []  # of each open value: where it begins, stray delimiters before it

    def _enter_sequence(self, element: Element, end: int | None, format: HeaderFormat) -> int:
        begin = super()._enter_sequence(element, end, format)
        self._open.append((begin, len(self.strays_at)))
        return begin

    def _item(self, position: int) -> int:
        depth = len(self.frames)
        after = super()._item(position)
        if len(self.frames) > depth:
            self._open.append((after, len(self.strays_at)))
        return after

    def _leave(self, position: int) -> None:
        begin, before = self._open.pop()
        count = len(self.strays_at) - before
        has_length = not self.delimited
        super()._leave(position)
        if has_length and count:  # now the format of the header of the sequence or item that was left
            self.lengths.append((begin - _LENGTH_FIELD, self.format.order, count))

    def _stray(self, tag: int, position: int) -> None:
        self.strays_at.append(position)

    def _end_with_length(self, tag: int, position: int) -> None:
        self.patches.append((position + _ITEM_LENGTH, bytes(_LENGTH_FIELD)))

    def _odd_pixel_data(self, element: Element) -> None:
        if self.frames:
            self.patches.append((element.offset + _VR, b"OB"))

    def _unknown_vr(self, tag: int, position: int, available: int) -> Element:
        element = super()._unknown_vr(tag, position, available)
        if self.frames:
            self.patches.append((position + _VR, self._readable_vr(element)))
        return element

    def _readable_vr(self, element: Element) -> bytes:
        """A VR with which pydicom finds the end of the value: it takes unknown ones, of two capitals, for short."""
        if element.value_offset == element.offset + _SHORT_HEADER:
            return b"ZZ"
        if element.length != UNDEFINED_LENGTH:
            return b"UN"
        if element.tag in PIXEL_DATA_TAGS:
            return b"OB"
        head = self._bytes_at(element.value_offset, ITEMS_HEAD, element.offset)
        items = format_of_items(head, self.format)
        return b"OB" if items is None else b"SQ" if items.explicit else b"UN"
