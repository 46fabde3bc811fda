"""What a walk through a data set yields."""

from __future__ import annotations

from typing import NamedTuple

from dcmrecv_core.receive.sources import Source

PIXEL_DATA_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
"""Float, Double Float and (integer) Pixel Data (PS3.3 C.7.6.24, C.7.6.25, C.7.6.3)."""


class Element(NamedTuple):
    """Where a top-level element is. `end` is behind the value and its delimiter, if `length` is undefined."""

    tag: int
    vr: str
    """As received, "" in implicit VR."""
    offset: int
    value_offset: int
    length: int
    end: int


class DataSetIndex:
    """The top-level elements of a data set and what was odd about it."""

    __slots__ = ("elements", "pixel_offset", "source", "warnings")

    def __init__(self, source: Source) -> None:
        self.elements: dict[int, Element] = {}
        """By tag; of repeated elements the first."""
        self.pixel_offset = 0
        """Offset of the first pixel data element's header, else where the elements end."""
        self.source = source
        """What all offsets refer to: the source that was scanned, or its inflated view."""
        self.warnings: list[str] = []
