"""What a data set holds that a plugin does not see in `Instance.copy_header`: who replaces the header must say whether
that stays or goes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from dcmrecv_core.api.errors import DataSetError
from dcmrecv_core.dataset import walker
from dcmrecv_core.dataset.elements import PIXEL_DATA_TAGS, DataSetIndex, Element, PlainElement
from dcmrecv_core.dataset.raw_values import split_header
from dcmrecv_core.dataset.sources import filler_length
from dcmrecv_core.dataset.walker import Walker

if TYPE_CHECKING:
    from dcmrecv_core.dataset.encodings import Encoding

_OUTSIDE = (0x0000, 0x0002)  # groups that do not belong to a data set: a replaced header has none
_SHOWN = 20
_SMALL = 1 << 16
# What may stand between elements and says nothing: delimiters, which count as eight bytes, and zeros.
_NOTHING = re.compile(rb"(?:\xFE\xFF[\x0D\xDD]\xE0.{4}|\xFF\xFE\xE0[\x0D\xDD].{4}|\0)*", re.DOTALL)


class Gap(NamedTuple):
    """Bytes that belong to no element in the index."""

    start: int
    end: int


class Unseen(NamedTuple):
    """Elements in the order of the data set, and other bytes."""

    too_large: list[Element]
    """Before the pixel data, left out of the header for their size."""
    repeated: list[Element]
    """All occurrences of an element but the first."""
    after: list[Element]
    """After the pixel data, which are not among them."""
    gaps: list[Gap]
    """Elements after the 32768th, or bytes that were not understood."""

    def without(self, tags: Iterable[int]) -> Unseen:
        """What remains if a new header has elements with these tags. Nothing shows that one is repeated."""
        given = set(tags) - PIXEL_DATA_TAGS
        too_large = [element for element in self.too_large if element.tag not in given]
        after = [element for element in self.after if element.tag not in given]
        return Unseen(too_large, self.repeated, after, self.gaps)


def find_unseen(index: DataSetIndex, encoding: Encoding) -> Unseen:
    """Look for everything that a header of this data set does not show. Raises OSError."""
    elements = list(index.plain_elements())
    repeated: list[Element] = []
    gaps = _gaps(index, elements)
    if gaps:
        repeated = _repeated(index, encoding)
        gaps = _gaps(index, [*elements, *repeated])
    too_large = [Element._make(each) for each in split_header(index, elements)[1] if each[0] >> 16 not in _OUTSIDE]
    begin = index.pixel_offset
    after = [Element._make(each) for each in elements if each[2] >= begin and each[0] not in PIXEL_DATA_TAGS]
    return Unseen(too_large, repeated, after, gaps)


class _Repeats(Walker):
    """Walks a data set once more, for the elements that its index does not have because they are repeated."""

    __slots__ = ("repeated",)
    repeated: list[Element]

    def _keep(self, element: Element) -> int:
        if not self.frames and element.tag in self.index:
            self.repeated.append(element)
        return super()._keep(element)


def _repeated(index: DataSetIndex, encoding: Encoding) -> list[Element]:
    again = _Repeats(DataSetIndex(index.source), encoding, whole=True)
    again.repeated = []
    with suppress(DataSetError):  # which this is not the place to report
        again.walk()
    return again.repeated


def _gaps(index: DataSetIndex, elements: Sequence[PlainElement]) -> list[Gap]:
    source = index.source
    gaps = []
    position = 0
    if bytes(source.window(0, 132)[128:132]) == b"DICM" and min(elements)[0] < 0x00080000:
        position = 132
    for _, _, offset, _, _, end in sorted(elements, key=itemgetter(2)):
        if offset > position:
            gaps.append(Gap(position, offset))
        if end > position:
            position = end
    if position < source.size and not filler_length(source, position):
        gaps.append(Gap(position, source.size))
    return [gap for gap in gaps if not _is_nothing(index, gap)]


def _is_nothing(index: DataSetIndex, gap: Gap) -> bool:
    length = gap.end - gap.start
    if length > _SMALL:
        return False
    return _NOTHING.fullmatch(bytes(index.source.window(gap.start, length)[:length])) is not None


def described(unseen: Unseen, index: DataSetIndex) -> list[str]:
    """One text for each: what it is, its size, and why it was not seen. Empty if all was seen."""
    texts = [
        f"{_name(element.tag)}, {element.end - element.value_offset} bytes, {why}"
        for elements, why in (
            (unseen.too_large, "too large for the header"),
            (unseen.repeated, "repeated"),
            (unseen.after, "after the pixel data"),
        )
        for element in elements
    ]
    why = f"after the first {walker.MAX_ELEMENTS} elements" if index.overflow else "not understood"
    texts += [f"{gap.end - gap.start} bytes at {gap.start}, {why}" for gap in unseen.gaps]
    return texts if len(texts) <= _SHOWN else [*texts[:_SHOWN], f"{len(texts) - _SHOWN} more"]


def _name(tag: int) -> str:
    from pydicom.datadict import dictionary_description

    number = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
    try:
        return f"{number} {dictionary_description(tag)}"
    except KeyError:
        return f"{number} private" if tag >> 16 & 1 else number
