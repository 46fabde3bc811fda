"""What a walk through a data set yields."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple, Protocol

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


class PlainElements(Protocol):
    """A mapping of elements by tag, as far as an index needs it."""

    def get(self, tag: int, /) -> PlainElement | None: ...

    def values(self) -> Iterable[PlainElement]: ...

    def __contains__(self, tag: object, /) -> bool: ...

    def __len__(self) -> int: ...


class RegularBeginning(PlainElements, Protocol):
    """The elements that a data set begins with, as the compiled walk finds them; their headers are regular."""

    @property
    def end(self) -> int:
        """Offset after them."""

    @property
    def last(self) -> int:
        """The last tag, if there is an element."""

    @property
    def pixel_offset(self) -> int:
        """Of the first pixel data element's header, -1 if it is not there."""

    @property
    def uids(self) -> tuple[str, str] | None:
        """SOP Class UID (0008,0016) and SOP Instance UID (0008,0018) as `read_uid` reads them, None unless both are
        there."""


class DataSetIndex:
    """The top-level elements of a data set, and the warnings about it."""

    # what most indexes keep is set once, here
    beginning: PlainElements = {}  # noqa: RUF012  # read only
    """Those of a regular beginning."""
    pixel_offset = 0
    """Offset of the first pixel data element's header, else where the elements end."""
    uids: tuple[str, str] | None = None
    """SOP Class UID and SOP Instance UID of a regular beginning that has both."""
    offending: tuple[int, ...] = ()
    """The tag that the first warning is about, if it is about one."""
    has_pixel_data = False
    """Whether there are pixel data (`PIXEL_DATA_TAGS`) at top level."""
    misread = False
    """pydicom would misread something: stray delimiters in sequences, or unknown VRs (see `mended_values.py`)."""
    overflow = False
    """There are more elements than an index keeps."""
    obstacle = ""
    """Why the elements before the pixel data cannot be replaced without loss; "" if they can."""

    def __init__(self, source: ByteSource) -> None:
        self.found: dict[int, PlainElement] = {}
        """The other elements by tag; of repeated ones the first."""
        self.source = source
        """All offsets are in this source: the one that was scanned, or its inflated view."""
        self.warnings: list[str] = []

    def __len__(self) -> int:
        return len(self.beginning) + len(self.found)

    def __contains__(self, tag: int) -> bool:
        return tag in self.beginning or tag in self.found

    def start_with(self, beginning: RegularBeginning) -> None:
        """Take the elements of a regular beginning."""
        self.beginning = beginning
        self.uids = beginning.uids
        self.has_pixel_data = beginning.pixel_offset >= 0
        self.pixel_offset = beginning.pixel_offset if self.has_pixel_data else beginning.end

    def get(self, tag: int) -> Element | None:
        """The element with this tag, None if it is absent."""
        plain = self.beginning.get(tag) or self.found.get(tag)
        return None if plain is None else Element._make(plain)

    def plain_elements(self) -> Iterable[PlainElement]:
        """All elements, in the order of the data set."""
        return chain(self.beginning.values(), self.found.values())

    @property
    def elements(self) -> dict[int, Element]:
        """A new dictionary of all elements by tag, in the order of the data set."""
        return {plain[0]: Element._make(plain) for plain in self.plain_elements()}
