"""The walk from element to element (PS3.5 chapter 7), as real senders write them: it reads tags, VRs and lengths, never
values.

    walk                    from the beginning to the end
      _plain_elements       elements whose headers say all: nearly all of them
      _element              one of another kind: a sequence, pixel data, of odd length, out of order, with an unknown VR
        _undefined_length   ... which items or fragments follow
      _item                 where an item of a sequence is due
      _delimiter            where an element is due
      _end_of_value         where a sequence, an item, or the data end

Nested items are walked with a stack, not by recursion.
"""

from __future__ import annotations

from itertools import repeat

from dcmrecv_core.api.errors import DataSetError
from dcmrecv_core.dataset.elements import PIXEL_DATA_TAGS, DataSetIndex, Element, PlainElement, RegularBeginning
from dcmrecv_core.dataset.encodings import (
    EXPLICIT_HEADERS,
    IMPLICIT_HEADERS,
    LONG_VRS,
    LONGEST_HEADER,
    SHORT_VRS,
    UNDEFINED_LENGTH,
    Encoding,
    HeaderFormat,
    header_format_of,
    sequence_tags,
)
from dcmrecv_core.dataset.odd_places import (
    ENDS,
    FILLER_TAGS,
    ITEM,
    ITEM_END,
    ITEMS_HEAD,
    SEQUENCE_END,
    OddPlaces,
    begins_data_set,
    begins_with_item,
    format_of_items,
)
from dcmrecv_core.dataset.sources import UNKNOWN_SIZE, InflatedSource, filler_length
from dcmrecv_core.dataset.walk_state import fault, fault_in, name

MAX_DEPTH = 128
"""Sequences within sequences. The deepest real objects (structured reports) have about 20 levels. pydicom decodes them
by recursion, which fails at about 190."""

MAX_ELEMENTS = 32768
"""Elements kept in an index, 300 bytes each; real data sets have some hundred. More are checked but not kept."""

MAX_INFLATED_STEPS = 2_000_000
"""Elements, items, delimiters and fragments of a deflated data set: 100 KB can hold ten million of them. Large real
objects have some hundred thousand; two million take seconds. Data that are not deflated took the sender as long. Those
of a regular beginning are not counted: it has 256 KiB at most."""

FILE_HEAD = 138
"""Bytes that show whether a file begins here: preamble, prefix, and the tag and VR of the first element (PS3.10 section
7.1)."""

_SHORTEST_HEADER = 8
_DELIMITERS = 0xFFFE0000
_FIRST_BYTE = 0xFE  # of a delimiter, or FFH in big endian
_PIXEL_DATA = 0x7FE00010
_FIRST_PIXEL_DATA = min(PIXEL_DATA_TAGS)
_AFTER_FILE_META = 0x00030000
_KNOWN_VRS = frozenset(vr.encode() for vr in SHORT_VRS | LONG_VRS)
_CUT_OFF = "the data set may be cut off"


class Walker(OddPlaces):
    """One walk, from the start of a data set to its end or, unless `whole`, to the pixel data."""

    __slots__ = ("done", "encapsulated", "pending", "steps", "strays", "whole")

    def __init__(self, index: DataSetIndex, encoding: Encoding, whole: bool) -> None:
        inflated = isinstance(index.source, InflatedSource)
        # the same faults whether or not the end has been inflated before
        super().__init__(index, header_format_of(encoding), UNKNOWN_SIZE if inflated else index.source.size)
        self.encapsulated = encoding.encapsulated
        self.whole = whole
        self.pending: Element | None = None  # the top-level sequence that is being walked
        self.done = False
        self.strays: tuple[int, ...] = ()  # kinds of stray delimiters found so far
        # the loops iterate over this budget, so counting costs nothing
        self.steps = repeat(True, MAX_INFLATED_STEPS) if inflated else repeat(True)

    def walk(self, beginning: RegularBeginning | None = None) -> None:
        """Walk, filling the index; if it has a regular beginning, from there on. Raises DataSetError, OSError."""
        if beginning:
            self.last = beginning.last
            self.walk_from(beginning.end)
        else:
            self.walk_from(self._check_format(self._skip_file_header()))

    def walk_from(self, position: int) -> None:
        """Walk from an element at top level. Raises DataSetError, OSError."""
        while not self.done:
            if not self.in_sequence:
                position = self._plain_elements(position)
            if not self.frames and not self.index.has_pixel_data:
                self.index.pixel_offset = position
            self._count_step(position)
            available = self._load(position)
            if available <= 0:
                self._end_of_value(position, available)
            elif available < _SHORTEST_HEADER:
                self._filler(position, "Element header cut off")
            elif self.in_sequence:
                position = self._item(position)
            else:
                position = self._element(position, available)
        if isinstance(self.source, InflatedSource) and self.source.trailing > 1:
            self._warn(f"{self.source.trailing} bytes after the deflated stream")

    def _count_step(self, position: int) -> None:
        if not next(self.steps, False):
            raise self._fault_at(position, f"More than {MAX_INFLATED_STEPS} steps")

    # Where the data set begins

    def _skip_file_header(self) -> int:
        """Walk over what belongs to a file, not to a data set: preamble and File Meta Information (PS3.10 section 7.1),
        which is always explicit VR little endian. Returns where the data set begins."""
        if self._load(0) <= 0:
            raise DataSetError("There is no data set")
        head = self.source.window(0, FILE_HEAD)
        position = 0
        if head[128:134] == b"DICM\x02\x00" and not begins_data_set(
            head, self.format.little
        ):  # else it is part of a value
            self._warn("A whole DICOM file was sent as data set")
            position = 132
        if head[position : position + 2] != b"\x02\x00" or bytes(head[position + 4 : position + 6]) not in _KNOWN_VRS:
            return position
        self._warn("File Meta Information within the data set")
        data_set_format, self.format = self.format, EXPLICIT_HEADERS
        while self._load(position) > 0 and (after := self._plain_elements(position, _AFTER_FILE_META)) > position:
            position = after
        self.format = data_set_format
        return position

    def _check_format(self, position: int) -> int:
        """Some senders use implicit VR where the transfer syntax says explicit, or the reverse. The first element shows
        it: the letters of a VR, read as a length, would mean a first value of more than 16 KiB. Returns where that
        element begins, after stray delimiters, which never have a VR."""
        available = self._load(position)
        if available >= _SHORTEST_HEADER and self.window[position - self.base] >= _FIRST_BYTE:
            position = self._skip_strays(position)
            available = self._load(position)
        if available < _SHORTEST_HEADER:
            return position
        if not self.format.explicit and self._vr_bytes(position) in _KNOWN_VRS:
            self._warn("Explicit VR, against the transfer syntax")
            self._obstacle("explicit VR, against the transfer syntax")
            self.format = EXPLICIT_HEADERS
        elif self.format.explicit and self._may_be_implicit(position):
            self._warn("Implicit VR, against the transfer syntax")
            self._obstacle("implicit VR, against the transfer syntax")
            self.format = IMPLICIT_HEADERS
        return position

    def _skip_strays(self, position: int) -> int:
        """Walk over stray delimiters; returns where the first element begins."""
        while self._load(position) >= _SHORTEST_HEADER and next(self.steps, False):
            tag, _ = self.format.item(self.window, position - self.base)
            if tag not in ENDS:
                break
            self._stray(tag, position)
            position += 8
        return position

    # Elements

    def _plain_elements(self, position: int, ceiling: int = _FIRST_PIXEL_DATA) -> int:
        """Walk over elements that are in order, of even length, with known VRs, and no sequences, as far as the window
        has their headers, and before the tag `ceiling`; returns where something else begins."""
        begin, window, base, limit, last = position, self.window, self.base, self.limit, self.last
        header, length32, short, long = self.format.begin, self.format.length32, self.format.short, self.format.long
        sequences = frozenset[int]() if self.format.explicit else sequence_tags()
        stop = min(limit - _SHORTEST_HEADER, base + len(window) - LONGEST_HEADER)
        if self.frames or last >= _PIXEL_DATA:
            ceiling = _DELIMITERS
        elif self.index.has_pixel_data:  # float ones: (integer) ones may follow
            ceiling = _PIXEL_DATA
        found: dict[int, PlainElement] | None = None
        room = 0 if self.frames else MAX_ELEMENTS - len(self.index)
        if room > 0:
            found = self.index.found
            stop = min(stop, position + _SHORTEST_HEADER * room - 1)  # as many as there is room for, if they are empty
        for _ in self.steps:
            if position > stop:
                break
            group, number, code, length = header(window, position - base)
            if code in short:
                vr, value = short[code], position + 8
            elif code in long and code != b"SQ":
                vr, value = long[code], position + LONGEST_HEADER
                length = length32(window, position - base + 8)[0]
            else:
                break
            tag, end = group << 16 | number, value + length
            if length & 1 or end > limit or not last < tag < ceiling or tag in sequences:
                break
            if found is not None:
                found[tag] = (tag, vr, position, value, length, end)
            last, position = tag, end
        self.last = last
        if found is None and not self.frames and position > begin:
            self._overflow()
        return position

    def _element(self, position: int, available: int) -> int:
        """One element that is not plain; returns where to go on: after it or, for a sequence, inside."""
        at = position - self.base
        tag, vr, header, length = self.format.element(self.window, at)
        if tag in FILLER_TAGS and len(set(self.window[at : at + 8])) == 1:
            return self._filler(position, "No element")
        if tag >= _DELIMITERS:
            return self._delimiter(tag, position)
        if header > available:
            raise fault(tag, position, "Data end inside an element header")
        if vr is not None:
            value = position + header
            element = Element(tag, vr, position, value, length, value + length)
        elif self.frames and not self.last and self._may_be_implicit(position):
            self._warn(f"{name(tag)} at {position}: Item in implicit VR", tag)
            self.format = IMPLICIT_HEADERS
            return self._element(position, available)
        else:
            element = self._unknown_vr(tag, position, available)
        self._check_order(tag, position)
        if tag in PIXEL_DATA_TAGS and not self.frames:
            self._pixel_data(element)
            if self.done:
                return position
        if element.length == UNDEFINED_LENGTH:
            return self._undefined_length(element)
        if element.end > self.limit:
            rest = self.limit - element.value_offset
            hint = f"its length is {element.length}, but {rest} bytes follow"
            raise fault(tag, position, "Value runs past the end", hint)
        if element.length & 1:
            self._warn(f"{name(tag)} at {position}: Odd length {element.length}", tag)
        if element.length and (element.vr == "SQ" or (not element.vr and tag in sequence_tags())):
            if begins_with_item(self._bytes_at(element.value_offset, 4, position), self.format.little):
                return self._enter_sequence(element, element.end, self.format)
            self._warn(f"{name(tag)} at {position}: Sequence without items, its value is not understood", tag)
        return self._keep(element)

    def _undefined_length(self, element: Element) -> int:
        """An element whose value consists of items or fragments, up to a delimiter; returns where to go on."""
        items: HeaderFormat | None = None
        if element.tag in PIXEL_DATA_TAGS:
            if element.vr in ("UN", "SQ"):
                self._odd_pixel_data(element)
        elif element.vr in ("SQ", ""):
            items = self.format
        elif element.vr == "UN":
            items = IMPLICIT_HEADERS  # PS3.5 section 6.2.2
        elif element.vr not in LONG_VRS:
            items = format_of_items(self._bytes_at(element.value_offset, ITEMS_HEAD, element.offset), self.format)
        if items is not None:
            return self._enter_sequence(element, None, items)
        return self._keep(element._replace(end=self._skip_fragments(element)))

    def _odd_pixel_data(self, element: Element) -> None:
        """Fragments with the VR of a sequence, or UN, which pydicom takes for one."""
        self.index.misread = True
        text = f"Encapsulated pixel data with VR {element.vr}"
        self._warn(f"{name(element.tag)} at {element.offset}: {text}", element.tag)

    def _skip_fragments(self, element: Element) -> int:
        """Walk over encapsulated pixel data (PS3.5 A.4); returns the offset after their delimiter."""
        position = element.value_offset
        while self._load(position) >= 8:
            self._count_step(position)
            tag, length = self.format.item(self.window, position - self.base)
            if tag == SEQUENCE_END:
                return position + 8
            if tag != ITEM or length == UNDEFINED_LENGTH:
                hint = "pixel data of undefined length consist of items"
                raise fault_in(element.tag, position, "No fragment", hint)
            if length & 1:
                self._warn(f"{name(element.tag)} at {position}: Fragment of odd length {length}", element.tag)
            if position + 8 + length > self.limit:
                raise fault_in(element.tag, position, "Fragment runs past the end")
            position += 8 + length
        raise fault_in(element.tag, position, "Fragments without delimiter", _CUT_OFF)

    def _enter_sequence(self, element: Element, end: int | None, format: HeaderFormat) -> int:
        if len(self.frames) >= 2 * MAX_DEPTH:
            raise fault(element.tag, element.offset, f"Sequences more than {MAX_DEPTH} deep")
        if not self.frames:
            self.pending = element
        self._enter(element.tag, end, format, in_sequence=True)
        return element.value_offset

    def _item(self, position: int) -> int:
        """An item of a sequence, or its end; returns where to go on (PS3.5 section 7.5)."""
        tag, length = self.format.item(self.window, position - self.base)
        after = position + 8
        if tag == ITEM:
            if length == UNDEFINED_LENGTH:
                self._enter(self.owner, None, self.format, in_sequence=False)
            elif after + length <= self.limit:
                self._enter(self.owner, after + length, self.format, in_sequence=False)
            else:
                raise self._fault_at(position, "Item runs past the end", f"its length is {length}")
        elif tag == SEQUENCE_END and self.delimited:
            if length:
                self._end_with_length(tag, position)
            self._leave(after)
        elif tag in ENDS:
            self._stray(tag, position)
        else:
            raise self._fault_at(position, f"{name(tag)} instead of an item")
        return after

    def _delimiter(self, tag: int, position: int) -> int:
        """A delimiter or another impossible tag where an element is due; returns where to go on.

        An item delimiter ends an item of undefined length, and is stray in any other place. A sequence delimiter is
        stray in every item. (If the item's own delimiter is really missing before it, a later one ends the item, and
        none is left for the sequence: a fault.)
        """
        if tag == ITEM_END and self.delimited:
            if self.format.item(self.window, position - self.base)[1]:
                self._end_with_length(tag, position)
            self._leave(position + 8)
        elif tag in ENDS:
            self._stray(tag, position)
        else:
            raise self._fault_at(position, f"{name(tag)} instead of an element")
        return position + 8

    def _end_with_length(self, tag: int, position: int) -> None:
        """A delimiter in its place that states a length. It has no value all the same (PS3.5 section 7.5)."""
        self.index.misread = True
        self._warn(f"In {name(self.owner)} at {position}: Delimiter {name(tag)} with a length", self.owner)

    def _stray(self, tag: int, position: int) -> None:
        """A delimiter that ends nothing. It has no value (PS3.5 section 7.5), so the next element or item follows its
        eight bytes, whatever its length says. Of many the first of each kind is reported."""
        if self.frames:
            self.index.misread = True
        if tag in self.strays:
            return
        self.strays += (tag,)
        if self.frames:
            self._warn(f"In {name(self.owner)} at {position}: Stray delimiter {name(tag)}", self.owner)
        else:
            self._warn(f"Stray delimiter {name(tag)} at {position}", tag)

    def _end_of_value(self, position: int, available: int) -> None:
        """The value being walked has no more bytes."""
        if available < 0:
            last = self.index.get(self.last)
            if not self.frames and last is not None and last.end == position:
                raise fault(last.tag, last.offset, "Value runs past the end", _CUT_OFF)
            raise self._fault_at(self.source.size, "Value runs past the end", _CUT_OFF)
        if not self.frames:
            if not len(self.index):
                raise DataSetError("There is no data set")
            self.done = True
        elif self.delimited:
            raise self._fault_at(position, "Sequence without delimiter", _CUT_OFF)
        elif position < self.limit:
            raise self._fault_at(position, "Data end inside a sequence", _CUT_OFF)
        else:
            self._leave(position)

    def _filler(self, position: int, text: str) -> int:
        """No element begins here: that is the end of the walk if only filler follows, else a fault with this text."""
        count = (
            0 if self.frames or not len(self.index) else filler_length(self.source, position, little=self.format.little)
        )
        if not count:
            raise self._fault_at(position, text, _CUT_OFF)
        what = "1 byte that is no element" if count == 1 else f"{count} bytes that are no elements"
        self._warn(f"After the last element at {position}: {what}")
        self.done = True
        return position

    def _leave(self, position: int) -> None:
        """Leave a sequence or item, which ends at `position`."""
        self._go_back()
        if not self.frames and self.pending is not None:
            self._keep(self.pending._replace(end=position))

    def _keep(self, element: Element) -> int:
        if not self.frames:
            if element.tag in self.index:
                self._obstacle(f"{name(element.tag)} occurs twice")
            elif len(self.index) < MAX_ELEMENTS or element.tag in PIXEL_DATA_TAGS:
                self.index.found[element.tag] = element
            else:
                self._overflow()
        return element.end

    # Warnings and obstacles

    def _pixel_data(self, element: Element) -> None:
        if not self.index.has_pixel_data:
            self.index.pixel_offset = element.offset
            self.index.has_pixel_data = True
            self.done = not self.whole
        if element.tag == _PIXEL_DATA and self.encapsulated != (element.length == UNDEFINED_LENGTH):
            form = "Native" if self.encapsulated else "Encapsulated"
            self._warn(f"{form} pixel data, against the transfer syntax", element.tag)

    def _check_order(self, tag: int, position: int) -> None:
        if tag > self.last:
            self.last = tag
        else:
            repeated = tag == self.last or (tag in self.index and not self.frames)
            self._warn(f"{name(tag)} at {position}: {'Repeated' if repeated else 'Out of order'}", tag)

    def _overflow(self) -> None:
        self.index.overflow = True
        self._obstacle(f"more than {MAX_ELEMENTS} elements")

    def _obstacle(self, text: str) -> None:
        if not self.index.has_pixel_data:
            self.index.obstacle = text
