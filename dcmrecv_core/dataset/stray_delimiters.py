"""Removes delimiters that end nothing from sequences, because pydicom stops at some of them and fails at others.

The walker skips a stray delimiter and goes on with the next element or item. pydicom has to give hooks the same
elements, so the eight bytes are cut out, and the lengths of the items and sequences around them are reduced.
"""

from __future__ import annotations

from typing import Literal

from dcmrecv_core.dataset.elements import DataSetIndex, Element
from dcmrecv_core.dataset.encodings import UNDEFINED_LENGTH, Encoding, HeaderFormat
from dcmrecv_core.dataset.sources import MemorySource
from dcmrecv_core.dataset.walker import Walker

_DELIMITER_LENGTH = 8
_LENGTH_FIELD = 4  # directly before the value of an item, and of a sequence in any VR


def value_without_strays(index: DataSetIndex, encoding: Encoding, element: Element) -> bytes:
    """As `raw_values.raw_value`, without stray delimiters in the sequences of this element. `encoding` is the one that
    `index` was scanned in. Raises OSError if the source cannot be read."""
    length = element.end - element.offset
    data = bytes(index.source.window(element.offset, length)[:length])
    finder = _StrayFinder(data, Encoding(explicit=bool(element.vr), little=encoding.little))
    finder.walk()
    cleaned = _without(data, finder)
    end = len(cleaned) - _DELIMITER_LENGTH if element.length == UNDEFINED_LENGTH else len(cleaned)
    return cleaned[element.value_offset - element.offset : end]


def _without(data: bytes, finder: _StrayFinder) -> bytes:
    if not finder.strays_at:
        return data
    patched = bytearray(data)
    for at, order, count in finder.lengths:
        field = slice(at, at + _LENGTH_FIELD)
        reduced = int.from_bytes(patched[field], order) - count * _DELIMITER_LENGTH
        patched[field] = reduced.to_bytes(_LENGTH_FIELD, order)
    starts = [0, *(at + _DELIMITER_LENGTH for at in finder.strays_at)]
    return b"".join(patched[start:end] for start, end in zip(starts, [*finder.strays_at, len(data)], strict=True))


class _StrayFinder(Walker):
    """Walks through one element again, and notes its stray delimiters and the length fields that count them."""

    __slots__ = ("_open", "lengths", "strays_at")

    def __init__(self, data: bytes, encoding: Encoding) -> None:
        super().__init__(DataSetIndex(MemorySource(memoryview(data))), encoding, whole=True)
        self.strays_at: list[int] = []
        """Offsets, ascending."""
        self.lengths: list[tuple[int, Literal["little", "big"], int]] = []
        """Length fields: offset, byte order, how many stray delimiters they count."""
        self._open: list[tuple[int, int]] = []  # of each open value: where it begins, stray delimiters before it

    def _skip_file_header(self) -> int:
        return 0

    def _check_format(self, position: int) -> int:
        """The first walk has decided which format it is."""
        return position

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
            self.lengths.append((begin - _LENGTH_FIELD, "little" if self.format.little else "big", count))

    def _stray(self, tag: int, position: int) -> None:
        self.strays_at.append(position)
