"""What a walk through a data set yields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Any, NamedTuple, Protocol

from dcmrecv_core.dataset.sources import Source

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


Span = tuple[int, int]
"""Offset and length of a header."""


class PlainElements(Protocol):
    """Elements by tag, as far as an index needs them."""

    def get(self, tag: int, /) -> PlainElement | None: ...

    def values(self) -> Iterable[PlainElement]: ...

    def __contains__(self, tag: object, /) -> bool: ...

    def __len__(self) -> int: ...


class KnownElements(Protocol):
    """Top-level elements that came one behind the other, from the tag `first` to the tag `last`."""

    @property
    def first(self) -> int: ...

    @property
    def last(self) -> int: ...

    @property
    def elements(self) -> PlainElements: ...


class Stretch:
    """Top-level elements that came one behind the other, with all that is in them. Offsets are from its start."""

    __slots__ = ("elements", "first", "headers", "last", "length", "spans", "unpack")

    def __init__(self, elements: Sequence[PlainElement], spans: Sequence[Span], headers: tuple[bytes, ...]) -> None:
        self.elements = {element[0]: element for element in elements}
        """By tag."""
        self.first, self.last = elements[0][0], elements[-1][0]
        """Tags."""
        self.length = elements[-1][5]
        self.spans = spans
        """Where all headers are, those of items, nested elements and delimiters too."""
        self.headers = headers
        """Their bytes."""
        self.unpack = _picker(spans)
        """Picks the bytes at `spans` out of a buffer, from an offset on."""


def _picker(spans: Sequence[Span]) -> Callable[[Any, int], tuple[bytes, ...]]:
    codes = []
    end = 0
    for offset, length in spans:
        codes.append(f"{offset - end}x{length}s")
        end = offset + length
    return Struct("=" + "".join(codes)).unpack_from


class DataSetIndex:
    """The top-level elements of a data set and what was odd about it."""

    __slots__ = (
        "found",
        "has_pixel_data",
        "obstacle",
        "offending",
        "overflow",
        "pixel_offset",
        "recognised",
        "recognised_count",
        "source",
        "strays_in_sequences",
        "warnings",
    )

    def __init__(self, source: Source) -> None:
        self.found: dict[int, PlainElement] = {}
        """By tag, those that were looked at one by one; of repeated elements the first."""
        self.recognised: list[tuple[int, KnownElements]] = []
        """The others, as stretches with the offsets where they begin."""
        self.recognised_count = 0
        self.pixel_offset = 0
        """Offset of the first pixel data element's header, else where the elements end."""
        self.source = source
        """What all offsets refer to: the source that was scanned, or its inflated view."""
        self.warnings: list[str] = []
        self.offending: tuple[int, ...] = ()
        """The tag that the first warning is about, if it is about one."""
        self.has_pixel_data = False
        """Whether there are pixel data (`PIXEL_DATA_TAGS`) at top level."""
        self.strays_in_sequences = False
        """Within sequences there are delimiters that end nothing (see `stray_delimiters.py`)."""
        self.overflow = False
        """There are more elements than an index keeps."""
        self.obstacle = ""
        """Why what precedes the pixel data cannot be replaced without losing some of it; "" if it can."""

    def __len__(self) -> int:
        return len(self.found) + self.recognised_count

    def __contains__(self, tag: int) -> bool:
        return tag in self.found or any(tag in stretch.elements for _, stretch in self.recognised)

    def add(self, start: int, stretch: KnownElements) -> None:
        """`stretch` is at `start`."""
        self.recognised.append((start, stretch))
        self.recognised_count += len(stretch.elements)

    def get(self, tag: int) -> Element | None:
        """The element with this tag, None if there is none."""
        found = self.find(tag)
        return None if found is None else _moved(found[1], found[0])

    def find(self, tag: int) -> tuple[int, PlainElement] | None:
        """The same before it is made: what to add to its offsets, and the element."""
        plain = self.found.get(tag)
        if plain is not None:
            return 0, plain
        for start, stretch in self.recognised:
            if stretch.first <= tag <= stretch.last:
                plain = stretch.elements.get(tag)
                if plain is not None:
                    return start, plain
        return None

    @property
    def elements(self) -> dict[int, Element]:
        """All of them, by tag, in the order in which they came, made anew."""
        elements = [Element._make(plain) for plain in self.found.values()]
        for start, stretch in self.recognised:
            plains = stretch.elements.values()
            elements += [_moved(plain, start) for plain in plains] if start else map(Element._make, plains)
        if elements and len(self.recognised) + bool(self.found) > 1:
            elements.sort(key=_offset)
        return {element.tag: element for element in elements}


def _moved(plain: PlainElement, start: int) -> Element:
    tag, vr, offset, value_offset, length, end = plain
    return Element(tag, vr, start + offset, start + value_offset, length, start + end)


def _offset(element: Element) -> int:
    return element.offset
