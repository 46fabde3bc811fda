"""Places in a data set that are not regular: what the bytes there are, and how a fault there is told.

Functions of a few bytes and a header format; the walker decides with them, and `decoding` finds the same afterwards.
"""

from __future__ import annotations

from struct import pack

from dcmrecv_core.api.errors import DataSetError
from dcmrecv_core.dataset.elements import DataSetIndex, Element
from dcmrecv_core.dataset.encodings import IMPLICIT_HEADERS, LONGEST_HEADER, UNDEFINED_LENGTH, HeaderFormat
from dcmrecv_core.dataset.sources import ByteSource

ITEM = 0xFFFEE000
ITEM_END = 0xFFFEE00D
SEQUENCE_END = 0xFFFEE0DD
ENDS = (ITEM_END, SEQUENCE_END)

FILLER_TAGS = frozenset({0x00000000, 0x20202020, 0xFFFFFFFF})
"""What filler after the last element looks like, read as a tag."""

ITEMS_HEAD = 24
"""Bytes of a value that `format_of_items` reads."""

MAX_WARNINGS = 20

State = tuple[bool, bool, int, int, int, HeaderFormat]
"""What a walk keeps of a value while it is in a nested one."""

_HEADER = 8
_ITEM_TAGS = {
    little: frozenset(pack(order + "HH", tag >> 16, tag & 0xFFFF) for tag in (ITEM, *ENDS))
    for little, order in ((True, "<"), (False, ">"))
}


def name(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def fault(tag: int, offset: int, text: str, hint: str = "") -> DataSetError:
    """A fault of the element `tag`, which begins at `offset`."""
    return DataSetError(f"{name(tag)} at {offset}: {text}", (tag,), hint=hint)


def fault_in(owner: int, offset: int, text: str, hint: str = "") -> DataSetError:
    """A fault at `offset`, in a sequence (or in pixel data) with the tag `owner`."""
    return DataSetError(f"In {name(owner)} at {offset}: {text}", (owner,), hint=hint)


def fault_after(last: int, offset: int, text: str, hint: str = "") -> DataSetError:
    """A fault at `offset`, at top level, after the element `last`; 0 if there is none."""
    if not last:
        return DataSetError(f"At {offset}: {text}", hint=hint)
    return DataSetError(f"After {name(last)} at {offset}: {text}", (last,), hint=hint)


def is_text(vr: bytes) -> bool:
    return 0x20 <= vr[0] < 0x7F and 0x20 <= vr[1] < 0x7F


def begins_data_set(head: bytes | memoryview, little: bool) -> bool:
    """Whether a data set begins here, with a group of the standard. Preambles are zeros or the magic letters of
    another file format."""
    return 0 < int.from_bytes(head[:2], "little" if little else "big") < 0x4000


def begins_next(head: bytes, format: HeaderFormat, tag: int, vr: bytes) -> bool:
    """Whether the eight bytes `head` are a delimiter or, in explicit VR, the header of an element that may follow the
    element `tag`. Its VR has to be known, or as odd as that of `tag`: a sender may write no VR for private elements."""
    if len(head) < _HEADER:
        return False
    following, its_vr, *_ = format.element(head, 0)
    if following in ENDS:
        return not any(head[4:8])
    return tag < following and (its_vr is not None or head[4:6] == vr)


def begins_with_item(value: bytes | memoryview, little: bool) -> bool:
    """Whether the value of a sequence begins with an item, or with a stray delimiter before it."""
    return bytes(value[:4]) in _ITEM_TAGS[little]


def format_of_items(head: bytes, format: HeaderFormat) -> HeaderFormat | None:
    """How elements are encoded in the items of a value of undefined length whose VR is unknown; None if the items hold
    other bytes. `head`: the first `ITEMS_HEAD` bytes of the value, fewer if it is shorter; `format`: of its own header.

    A VR of the future is to be treated as UN (PS3.5 section 6.2.2), whose items are in implicit VR little endian. A
    misspelt SQ has them in the format of the data set.
    """
    items = format if begins_with_item(head, format.little) else IMPLICIT_HEADERS
    at = length = 0
    while not length and len(head) >= at + _HEADER:  # of encapsulated data, the first item is often empty
        tag, length = items.item(head, at)
        at += _HEADER
        if tag != ITEM:
            return items  # there are no items with a content
    if length < _HEADER:
        return None if length else items
    if len(head) < at + _HEADER:
        return items
    if items.explicit and items.element(head, at)[1] is not None:
        return items
    if not items.little:
        return items if length == UNDEFINED_LENGTH else None
    tag, inner = IMPLICIT_HEADERS.item(head, at)
    is_implicit = length == UNDEFINED_LENGTH or (tag >> 16 and inner <= length - _HEADER)
    return IMPLICIT_HEADERS if is_implicit else None


def begins_items(head: bytes | memoryview, little: bool) -> bool:
    """Whether a value of undefined length begins here: its items are in the byte order of its header, or little
    endian as in a UN."""
    return begins_with_item(head, little) or begins_with_item(head, True)


class OddPlaces:
    """Where a walk is, and what it does and says at odd places. `Walker` fills the attributes."""

    __slots__ = ("base", "format", "frames", "index", "last", "limit", "owner", "source", "window")

    window: bytes | memoryview
    base: int
    source: ByteSource
    index: DataSetIndex
    format: HeaderFormat
    frames: list[State]
    limit: int
    last: int
    owner: int

    def _load(self, position: int) -> int:
        """Make the next header readable; returns how many bytes are left, negative if a value ran past the end."""
        if position + LONGEST_HEADER > self.base + len(self.window):
            self.window = self.source.window(position, LONGEST_HEADER)
            self.base = position
        return min(self.limit, self.source.size) - position

    def _vr_bytes(self, position: int) -> bytes:
        at = position - self.base
        return bytes(self.window[at + 4 : at + 6])

    def _unknown_vr(self, tag: int, position: int, available: int) -> Element:
        """An element whose VR the standard does not have.

        Future VRs have the long form (PS3.5 section 7.1.2); other text may be a misspelt short VR. What is no text has
        the short form if an element follows, or the end.
        """
        at = position - self.base
        vr = self._vr_bytes(position)
        length = self.format.element(self.window, at)[3]
        bits = 16
        if not is_text(vr):
            end = position + 8 + length
            fits = length == available - 8 or self._next_begins_at(end, position, tag, vr)
            if not (fits or self._data_end_at(end, position)):
                hint = f"no element follows its 16-bit length of {length}"
                raise fault(tag, position, f"invalid VR bytes {vr.hex()}", hint)
        elif not length and available >= LONGEST_HEADER:
            long = int.from_bytes(self.window[at + 8 : at + LONGEST_HEADER], self.format.order)
            if long == UNDEFINED_LENGTH:
                is_long = begins_items(self._bytes_at(position + LONGEST_HEADER, 4, position), self.format.little)
            else:
                is_long = position + LONGEST_HEADER + long <= self.limit
                is_long = is_long and not self._next_begins_at(position + 8, position, tag, vr)
            if is_long:
                bits, length = 32, long
        self.index.misread = True
        value = position + (8 if bits == 16 else LONGEST_HEADER)
        said = "undefined length" if length == UNDEFINED_LENGTH else f"length taken as {bits} bits"
        self._warn(f"{name(tag)} at {position}: Unknown VR{'' if is_text(vr) else f' bytes {vr.hex()}'}, {said}", tag)
        return Element(tag, vr.decode("latin-1"), position, value, length, value + length)

    def _may_be_implicit(self, position: int) -> bool:
        """Whether the first element of an item or data set may be in implicit VR: what should be its VR is no text, its
        value is within the bounds, and nothing shows that only its VR is odd."""
        at = position - self.base
        vr = self._vr_bytes(position)
        _, implicit_length = IMPLICIT_HEADERS.item(self.window, at)
        if is_text(vr) or position + 8 + implicit_length > min(self.limit, self.source.size):
            return False
        tag, _, _, length = self.format.element(self.window, at)
        return not self._next_begins_at(position + 8 + length, position, tag, vr)

    def _next_begins_at(self, offset: int, position: int, tag: int, vr: bytes) -> bool:
        """Whether, after the element at `position`, the next one or a delimiter begins at `offset`."""
        return offset + 8 <= self.limit and begins_next(self._bytes_at(offset, 8, position), self.format, tag, vr)

    def _data_end_at(self, offset: int, position: int) -> bool:
        """Whether the data end there: that of inflated data, whose size is not known before."""
        return len(self._bytes_at(offset - 1, 2, position)) == 1

    def _bytes_at(self, offset: int, length: int, position: int) -> bytes:
        """Bytes at most 64 KiB after `position`, where the walk is; fewer than `length` at the end of the data. The
        window does not begin after `position`, because inflated data cannot go back without effort."""
        if offset + length > self.base + len(self.window):
            self.window, self.base = self.source.window(position, offset + length - position), position
        at = offset - self.base
        return bytes(self.window[at : at + length])

    def _fault_at(self, position: int, text: str, hint: str = "") -> DataSetError:
        """A fault at `position`, where no element begins."""
        if self.frames:
            return fault_in(self.owner, position, text, hint)
        return fault_after(self.last, position, text, hint)

    def _warn(self, text: str, *offending: int) -> None:
        warnings = self.index.warnings
        if not warnings:
            self.index.offending = offending
        if len(warnings) < MAX_WARNINGS:
            warnings.append(text)
        elif len(warnings) == MAX_WARNINGS:
            warnings.append("and more")
