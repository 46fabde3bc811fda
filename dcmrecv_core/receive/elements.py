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


PlainElement = tuple[int, str, int, int, int, int]
"""An `Element` before it is one: the walker makes hundreds for each that is looked at, at a third of the cost."""


class DataSetIndex:
    """The top-level elements of a data set and what was odd about it."""

    __slots__ = ("found", "has_pixel_data", "obstacle", "offending", "overflow", "pixel_offset", "source", "warnings")

    def __init__(self, source: Source) -> None:
        self.found: dict[int, PlainElement] = {}
        """By tag; of repeated elements the first."""
        self.pixel_offset = 0
        """Offset of the first pixel data element's header, else where the elements end."""
        self.source = source
        """What all offsets refer to: the source that was scanned, or its inflated view."""
        self.warnings: list[str] = []
        self.offending: tuple[int, ...] = ()
        """The tag that the first warning is about, if it is about one."""
        self.has_pixel_data = False
        """Whether there are pixel data, or may be, behind a stray delimiter."""
        self.overflow = False
        """There are more elements than an index keeps."""
        self.obstacle = ""
        """Why what precedes the pixel data cannot be replaced without losing some of it; "" if it can."""

    def get(self, tag: int) -> Element | None:
        """The element with this tag, None if there is none."""
        plain = self.found.get(tag)
        return None if plain is None else Element._make(plain)

    @property
    def elements(self) -> dict[int, Element]:
        """All of them, by tag, made anew."""
        return {tag: Element._make(plain) for tag, plain in self.found.items()}
