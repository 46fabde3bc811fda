"""What a walk through a data set yields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Any, NamedTuple, Protocol

from dcmrecv_core.dataset.sources import ByteSource

PIXEL_DATA_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
"""Float, Double Float and (integer) Pixel Data (PS3.3 C.7.6.24, C.7.6.25, C.7.6.3)."""


class Element(NamedTuple):
    """Where a top-level element is. `end` is after the value and, if `length` is undefined, its delimiter."""

    tag: int
    vr: str
    """As received, "" in implicit VR."""
    offset: int
    value_offset: int
    length: int
    end: int


PlainElement = tuple[int, str, int, int, int, int]
"""The fields of an `Element`. The walker makes a tuple, at a third of the cost: of hundreds few are ever used."""


Span = tuple[int, int]
"""Offset and length of a header."""


class PlainElements(Protocol):
    """A mapping of elements by tag, as far as an index needs it."""

    def get(self, tag: int, /) -> PlainElement | None: ...

    def values(self) -> Iterable[PlainElement]: ...

    def __contains__(self, tag: object, /) -> bool: ...

    def __len__(self) -> int: ...


class ElementRun(Protocol):
    """Consecutive top-level elements, from the tag `first` to the tag `last`."""

    @property
    def first(self) -> int: ...

    @property
    def last(self) -> int: ...

    @property
    def elements(self) -> PlainElements: ...


class HeaderRun:
    """Consecutive top-level elements with all headers in them. Offsets count from the start of the run."""

    __slots__ = ("elements", "first", "headers", "last", "length", "spans", "unpack")

    def __init__(self, elements: Sequence[PlainElement], spans: Sequence[Span], headers: tuple[bytes, ...]) -> None:
        self.elements = {element[0]: element for element in elements}
        """By tag."""
        self.first, self.last = elements[0][0], elements[-1][0]
        """Tags."""
        self.length = elements[-1][5]
        self.spans = spans
        """Where all headers are, including those of items, nested elements and delimiters."""
        self.headers = headers
        """Their bytes."""
        self.unpack = _picker(spans)
        """Takes the bytes at `spans` out of a buffer, from an offset on."""


def _picker(spans: Sequence[Span]) -> Callable[[Any, int], tuple[bytes, ...]]:
    codes = []
    end = 0
    for offset, length in spans:
        codes.append(f"{offset - end}x{length}s")
        end = offset + length
    return Struct("=" + "".join(codes)).unpack_from


class DataSetIndex:
    """The top-level elements of a data set, and the warnings about it."""

    __slots__ = (
        "count_in_runs",
        "found",
        "has_pixel_data",
        "misread",
        "obstacle",
        "offending",
        "overflow",
        "pixel_offset",
        "runs",
        "source",
        "warnings",
    )

    def __init__(self, source: ByteSource) -> None:
        self.found: dict[int, PlainElement] = {}
        """By tag, the elements that were read one by one; of repeated elements the first."""
        self.runs: list[tuple[int, ElementRun]] = []
        """The other elements, in runs, each with the offset where it begins."""
        self.count_in_runs = 0
        self.pixel_offset = 0
        """Offset of the first pixel data element's header, else where the elements end."""
        self.source = source
        """All offsets are in this source: the one that was scanned, or its inflated view."""
        self.warnings: list[str] = []
        self.offending: tuple[int, ...] = ()
        """The tag that the first warning is about, if it is about one."""
        self.has_pixel_data = False
        """Whether there are pixel data (`PIXEL_DATA_TAGS`) at top level."""
        self.misread = False
        """pydicom would misread something: stray delimiters in sequences, or unknown VRs (see `mended_values.py`)."""
        self.overflow = False
        """There are more elements than an index keeps."""
        self.obstacle = ""
        """Why the elements before the pixel data cannot be replaced without loss; "" if they can."""

    def __len__(self) -> int:
        return len(self.found) + self.count_in_runs

    def __contains__(self, tag: int) -> bool:
        return tag in self.found or any(tag in run.elements for _, run in self.runs)

    def add_run(self, start: int, run: ElementRun) -> None:
        self.runs.append((start, run))
        self.count_in_runs += len(run.elements)

    def get(self, tag: int) -> Element | None:
        """The element with this tag, None if it is absent."""
        found = self.find(tag)
        return None if found is None else _moved(found[1], found[0])

    def find(self, tag: int) -> tuple[int, PlainElement] | None:
        """As `get`, without making an `Element`: returns what to add to the offsets, and the fields."""
        plain = self.found.get(tag)
        if plain is not None:
            return 0, plain
        for start, run in self.runs:
            if run.first <= tag <= run.last:
                plain = run.elements.get(tag)
                if plain is not None:
                    return start, plain
        return None

    @property
    def elements(self) -> dict[int, Element]:
        """A new dictionary of all elements by tag, in the order of the data set."""
        elements = [Element._make(plain) for plain in self.found.values()]
        for start, run in self.runs:
            plains = run.elements.values()
            elements += [_moved(plain, start) for plain in plains] if start else map(Element._make, plains)
        if elements and len(self.runs) + bool(self.found) > 1:
            elements.sort(key=_offset)
        return {element.tag: element for element in elements}


def _moved(plain: PlainElement, start: int) -> Element:
    tag, vr, offset, value_offset, length, end = plain
    return Element(tag, vr, start + offset, start + value_offset, length, start + end)


def _offset(element: Element) -> int:
    return element.offset
