"""Data elements as bytes: sequences are read and written here without pydicom, which needs ten times as long.

What is not exactly as PS3.5 section 7 says raises Unreadable: nothing is guessed where a name could hide.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

UNDEFINED = 0xFFFFFFFF
LONG_VRS = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"))
"""VRs with a length of 32 bits in explicit VR (PS3.5 section 7.1.2)."""
SHORT_VRS = frozenset(
    "AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()  # noqa: SIM905  # one line
)
DEEPEST = 32
"""Sequences in sequences; real ones have about six."""

NO_ITEM = "bytes that are no item, where one should be"
"""They may be a part of a name, so they are not shown."""

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_ENDS = (_ITEM_END, _SEQUENCE_END)


class Unreadable(ValueError):
    """Something in the data set that cannot be read to its end; the text says what, without any value."""


class Format:
    """How elements are encoded: explicit or implicit VR, byte order."""

    def __init__(self, *, explicit: bool, little: bool) -> None:
        self.explicit = explicit
        self.little = little
        order = "<" if little else ">"
        self.tag_and_length = Struct(order + "HHI")
        self.tag = Struct(order + "HH")
        self.short = Struct(order + "H")
        self.long = Struct(order + "I")

    def encode(self, tag: int, vr: str, value: bytes) -> bytes:
        """One element. Raises Unreadable for a value that is too long for the VR."""
        if not self.explicit:
            return self.tag_and_length.pack(tag >> 16, tag & 0xFFFF, len(value)) + value
        head = self.tag.pack(tag >> 16, tag & 0xFFFF) + vr.encode("ascii")
        if vr in LONG_VRS:
            return head + b"\0\0" + self.long.pack(len(value)) + value
        if len(value) > 0xFFFF:
            raise Unreadable(f"{shown(tag)}: {len(value)} bytes are too many for {vr}")
        return head + self.short.pack(len(value)) + value

    def encode_item(self, value: bytes) -> bytes:
        """One item of a sequence, with its length."""
        return self.tag_and_length.pack(_ITEM >> 16, _ITEM & 0xFFFF, len(value)) + value


IMPLICIT = Format(explicit=False, little=True)
FORMATS = {(each.explicit, each.little): each for each in (
    IMPLICIT,
    Format(explicit=True, little=True),
    Format(explicit=True, little=False),
)}  # fmt: skip


class Part(NamedTuple):
    """An element, where its value is, and where the next one begins. `vr` is "" in implicit VR."""

    tag: int
    vr: str
    start: int
    end: int
    after: int
    undefined: bool


def items_of(data: bytes, start: int, end: int, fmt: Format, depth: int = 0) -> Iterator[tuple[int, int]]:
    """Where the elements of each item in the value of a sequence are. Raises Unreadable."""
    while start < end:
        tag, length, start = _delimiter(data, start, end, fmt)
        if tag in _ENDS and not length:  # a stray one, which says nothing
            continue
        if tag != _ITEM:
            raise Unreadable(NO_ITEM)
        stop = _end_of_item(data, start, end, fmt, depth) if length == UNDEFINED else start + length
        if stop > end:
            raise Unreadable("an item is longer than its sequence")
        yield start, stop
        start = stop + 8 if length == UNDEFINED else stop


def parts_of(data: bytes, start: int, end: int, fmt: Format, depth: int = 0) -> Iterator[Part]:
    """The elements between two places. Raises Unreadable."""
    while start < end:
        part = _part(data, start, end, fmt, depth)
        start = part.after
        if part.tag in _ENDS and part.start == part.end:  # a stray one, which says nothing
            continue
        if part.tag >> 16 == 0xFFFE:
            raise Unreadable("a delimiter where an element should be")
        yield part


def _part(data: bytes, start: int, end: int, fmt: Format, depth: int) -> Part:
    if start + 8 > end:
        raise Unreadable("an element without its length")
    group, element = fmt.tag.unpack_from(data, start)
    tag = group << 16 | element
    vr = ""
    if not fmt.explicit or group == 0xFFFE:
        (length,) = fmt.long.unpack_from(data, start + 4)
        start += 8
    else:
        vr = data[start + 4 : start + 6].decode("latin-1")
        if vr in SHORT_VRS:
            (length,) = fmt.short.unpack_from(data, start + 6)
            start += 8
        elif vr in LONG_VRS and start + 12 <= end:
            (length,) = fmt.long.unpack_from(data, start + 8)
            start += 12
        else:
            raise Unreadable("an element without VR")
    if length == UNDEFINED:
        inner = IMPLICIT if vr == "UN" else fmt  # PS3.5 section 6.2.2
        stop = _end_of_sequence(data, start, end, inner, depth + 1)
        return Part(tag, vr, start, stop, stop + 8, True)
    if start + length > end:
        raise Unreadable("an element is longer than what it is in")
    return Part(tag, vr, start, start + length, start + length, False)


def _end_of_item(data: bytes, start: int, end: int, fmt: Format, depth: int) -> int:
    """Where the delimiter of an item of undefined length is."""
    while start < end:
        part = _part(data, start, end, fmt, depth)
        if part.tag == _ITEM_END:
            return start
        start = part.after
    raise Unreadable("an item without its end")


def _end_of_sequence(data: bytes, start: int, end: int, fmt: Format, depth: int) -> int:
    """Where the delimiter of a sequence of undefined length is."""
    if depth > DEEPEST:
        raise Unreadable(f"more than {DEEPEST} sequences in one another")
    while start < end:
        place = start
        tag, length, start = _delimiter(data, start, end, fmt)
        if tag == _SEQUENCE_END:
            return place
        if tag == _ITEM_END and not length:
            continue
        if tag != _ITEM:
            raise Unreadable(NO_ITEM)
        start = _end_of_item(data, start, end, fmt, depth) + 8 if length == UNDEFINED else start + length
    raise Unreadable("a sequence without its end")


def _delimiter(data: bytes, start: int, end: int, fmt: Format) -> tuple[int, int, int]:
    if start + 8 > end:
        raise Unreadable("bytes in a sequence that are no item")
    group, element, length = fmt.tag_and_length.unpack_from(data, start)
    return group << 16 | element, length, start + 8


def shown(tag: int) -> str:
    """A tag as in the standard."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
