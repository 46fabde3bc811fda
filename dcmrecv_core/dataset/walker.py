"""The walk from element to element (PS3.5 section 7.1): it reads tags, VRs and lengths, never values.

Nested items are walked with a stack, not by recursion. There are two speeds. `_take_explicit` and `_take_implicit` read
plain elements, which are nearly all, in a tight loop. They stop at whatever is not plain: a sequence, a delimiter, an
odd length, disorder, an unknown VR, the end of a window. `walk` passes that to the careful part.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import repeat

from dcmrecv_core.api.errors import DataSetError
from dcmrecv_core.dataset.elements import PIXEL_DATA_TAGS, DataSetIndex, Element, HeaderRun, PlainElement, Span
from dcmrecv_core.dataset.encodings import (
    EXPLICIT_HEADERS,
    IMPLICIT_HEADERS,
    LONG_VRS,
    SHORT_VRS,
    UNDEFINED_LENGTH,
    Encoding,
    HeaderFormat,
    header_format_of,
    sequence_tags,
)
from dcmrecv_core.dataset.header_runs import MAX_KEPT, HeaderFields, KnownHeaderRuns
from dcmrecv_core.dataset.odd_places import (
    ENDS,
    FILLER_TAGS,
    ITEM,
    ITEM_END,
    ITEMS_HEAD,
    LONGEST_HEADER,
    SEQUENCE_END,
    OddPlaces,
    State,
    begins_data_set,
    begins_with_item,
    fault,
    fault_in,
    format_of_items,
    is_text,
    name,
)
from dcmrecv_core.dataset.sources import InflatedSource, filler_length

MAX_DEPTH = 128
"""Sequences within sequences. The deepest real objects (structured reports) have about 20 levels. pydicom decodes them
by recursion, which fails at about 190."""

MAX_ELEMENTS = 32768
"""Elements kept in an index, 300 bytes each; real data sets have some hundred. More are checked but not kept."""

MAX_INFLATED_STEPS = 2_000_000
"""Elements, items, delimiters and fragments of a deflated data set: 100 KB can hold ten million of them. Large real
objects have some hundred thousand; two million take seconds. Data that are not deflated took the sender as long."""

_DELIMITERS = 0xFFFE0000
_FIRST_BYTE = 0xFE  # of a delimiter, or FFH in big endian
_PIXEL_DATA = 0x7FE00010
_FIRST_PIXEL_DATA = min(PIXEL_DATA_TAGS)
_AFTER_FILE_META = 0x00030000
_KNOWN_VRS = frozenset(vr.encode() for vr in SHORT_VRS | LONG_VRS)
_CUT_OFF = "the data set may be cut off"
_NO_RUNS: Mapping[HeaderFields, HeaderRun] = {}


class Walker(OddPlaces):
    """One walk, from the start of a data set to its end or, unless `whole`, to the pixel data.

    The first six attributes describe the value that is being walked; those of outer values are in `frames`.
    """

    __slots__ = (
        "ceiling",
        "delimited",
        "done",
        "encapsulated",
        "found",
        "fresh",
        "in_sequence",
        "inner",
        "known",
        "pending",
        "reached",
        "steps",
        "strays",
        "whole",
    )

    def __init__(
        self, index: DataSetIndex, encoding: Encoding, whole: bool, known: KnownHeaderRuns | None = None
    ) -> None:
        self.in_sequence = False  # items are due, not elements
        self.delimited = False  # of undefined length
        self.limit = index.source.size  # where it, or the value that encloses it, has to end
        self.last = 0  # the highest tag so far
        self.owner = 0  # tag of the sequence that it belongs to
        self.format = header_format_of(encoding)
        self.frames: list[State] = []

        self.index = index
        self.found = index.found
        self.source = index.source
        self.encapsulated = encoding.encapsulated
        self.whole = whole
        # elements of a run are not counted as steps, which are limited for inflated data
        self.known = None if isinstance(index.source, InflatedSource) else known
        self.fresh: list[PlainElement] = []  # elements since the last recognised run
        # headers within those; there may be millions, but more than MAX_KEPT are not learned anyway
        self.inner: deque[Span] = deque(maxlen=MAX_KEPT)
        self.window: bytes | memoryview = b""
        self.base = 0  # offset of the window
        self.ceiling = _FIRST_PIXEL_DATA  # plain elements at top level are taken up to this tag
        self.reached = 0  # after the last complete top-level element
        self.pending: Element | None = None  # the top-level sequence that is being walked
        self.done = False
        self.strays: tuple[int, ...] = ()  # kinds of stray delimiters found so far
        # the loops iterate over this budget, so counting costs nothing
        self.steps = repeat(True, MAX_INFLATED_STEPS) if isinstance(index.source, InflatedSource) else repeat(True)

    @property
    def pixel_data_seen(self) -> bool:
        return self.ceiling == _DELIMITERS

    def walk(self) -> None:
        """Walk, filling the index. Raises DataSetError, OSError."""
        position = self._check_format(self._skip_file_header())
        steps = self.steps
        while not self.done:
            if not self.in_sequence:
                position = self._take_explicit(position) if self.format.explicit else self._take_implicit(position)
            if not self.frames:
                self.reached = position
                if len(self.index) >= MAX_ELEMENTS and self.last not in self.index:
                    self._overflow()
            if not next(steps, False):
                raise self._fault_at(position, f"More than {MAX_INFLATED_STEPS} steps")
            available = self._load(position)
            begin, nested = position, bool(self.frames)
            if available <= 0:
                self._end_of_value(position, available)
            elif available < 8:
                self._filler(position, "Element header cut off")
            elif self.in_sequence:
                position = self._item(position)
            else:
                position = self._element(position, available)
            if nested and position > begin:
                self._note_inner(begin, position - begin)
        self._learn()
        if isinstance(self.source, InflatedSource) and self.source.trailing > 1:
            self._warn(f"{self.source.trailing} bytes after the deflated stream")

    def _skip_file_header(self) -> int:
        """Walk over what belongs to a file, not to a data set: preamble and File Meta Information (PS3.10 section 7.1),
        which is always explicit VR little endian. Returns where the data set begins."""
        if self._load(0) <= 0:
            raise DataSetError("There is no data set")
        head = self.source.window(0, 138)
        position = 0
        if head[128:134] == b"DICM\x02\x00" and not begins_data_set(
            head, self.format.little
        ):  # else it is part of a value
            self._warn("A whole DICOM file was sent as data set")
            position = 132
        if head[position : position + 2] != b"\x02\x00" or bytes(head[position + 4 : position + 6]) not in _KNOWN_VRS:
            return position
        self._warn("File Meta Information within the data set")
        data_set_format = self.format
        self.format, self.ceiling = EXPLICIT_HEADERS, _AFTER_FILE_META
        while self._load(position) > 0 and (after := self._take_explicit(position)) > position:
            position = after
        self.format, self.ceiling = data_set_format, _FIRST_PIXEL_DATA
        return position

    def _check_format(self, position: int) -> int:
        """Some senders use implicit VR where the transfer syntax says explicit, or the reverse. The first element shows
        it: the letters of a VR, read as a length, would mean a first value of more than 16 KiB. Returns where that
        element begins, after stray delimiters, which never have a VR."""
        available = self._load(position)
        if available >= 8 and self.window[position - self.base] >= _FIRST_BYTE:
            position = self._skip_strays(position)
            available = self._load(position)
        if available < 8:
            return position
        at = position - self.base
        vr = bytes(self.window[at + 4 : at + 6])
        if not self.format.explicit and vr in _KNOWN_VRS:
            self._warn("Explicit VR, against the transfer syntax")
            self._obstacle("explicit VR, against the transfer syntax")
            self.format = EXPLICIT_HEADERS
        elif self.format.explicit and not is_text(vr) and self._may_be_implicit(position):
            self._warn("Implicit VR, against the transfer syntax")
            self._obstacle("implicit VR, against the transfer syntax")
            self.format = IMPLICIT_HEADERS
        return position

    def _skip_strays(self, position: int) -> int:
        """Walk over stray delimiters; returns where the first element begins."""
        while self._load(position) >= 8 and next(self.steps, False):
            group, number, _ = self.format.item(self.window, position - self.base)
            if (tag := group << 16 | number) not in ENDS:
                break
            self._stray(tag, position)
            position += 8
        return position

    # The fast part

    def _take_explicit(self, position: int) -> int:
        """Take plain elements; returns where something else begins."""
        window, base, limit, last = self.window, self.base, self.limit, self.last
        header, length32 = self.format.header, self.format.length32
        short, long = self.format.short, self.format.plain_long
        stop, found, ceiling = self._bounds(position)
        runs, fresh, inner = self._known_runs(), self.fresh, self.inner
        for _ in self.steps:
            if position >= stop:
                break
            head = header(window, position - base)
            if head in runs:
                run = self._recognise(runs[head], position, last, stop, ceiling)
                if run is not None:
                    last = run.last
                    position += run.length
                    continue
            group, number, code, length = head
            if code in short:
                vr = short[code]
                value = position + 8
            elif code in long:
                vr = long[code]
                length = length32(window, position - base + 8)[0]
                value = position + 12
            else:
                break
            tag = group << 16 | number
            end = value + length
            if length & 1 or end > limit or not last < tag < ceiling:
                break
            if found is not None:
                found[tag] = element = (tag, vr, position, value, length, end)
                fresh.append(element)
            else:
                inner.append((position, value - position))
            last = tag
            position = end
        self.last = last
        return position

    def _take_implicit(self, position: int) -> int:
        """As `_take_explicit`."""
        window, base, limit, last = self.window, self.base, self.limit, self.last
        header, sequences = self.format.header, sequence_tags()
        stop, found, ceiling = self._bounds(position)
        runs, fresh, inner = self._known_runs(), self.fresh, self.inner
        for _ in self.steps:
            if position >= stop:
                break
            head = header(window, position - base)
            if head in runs:
                run = self._recognise(runs[head], position, last, stop, ceiling)
                if run is not None:
                    last = run.last
                    position += run.length
                    continue
            group, number, length = head
            tag = group << 16 | number
            value = position + 8
            end = value + length
            if length & 1 or end > limit or not last < tag < ceiling or tag in sequences:
                break
            if found is not None:
                found[tag] = element = (tag, "", position, value, length, end)
                fresh.append(element)
            else:
                inner.append((position, value - position))
            last = tag
            position = end
        self.last = last
        return position

    def _known_runs(self) -> Mapping[HeaderFields, HeaderRun]:
        """The runs that may be recognised here: at top level only, while the index has room."""
        if self.frames or self.known is None or len(self.index) >= MAX_ELEMENTS:
            return _NO_RUNS
        return self.known.of(self.format)

    def _recognise(self, run: HeaderRun | None, position: int, last: int, stop: int, ceiling: int) -> HeaderRun | None:
        """The run, or the first part of it, if it is at `position` and within the bounds; else None."""
        known, window, at = self.known, self.window, position - self.base
        while run is not None and known is not None:
            if run.first <= last or run.last >= ceiling or position + run.length > stop + 7:
                return None
            headers = run.unpack(window, at)
            if headers == run.headers:
                known.credit += len(headers)
                self._learn()
                self.index.add_run(position, run)
                return run
            run = known.split(self.format, run, headers)
        return None

    def _note_inner(self, position: int, length: int) -> None:
        """A step within a sequence passed `length` bytes, which should be one header."""
        if length > LONGEST_HEADER:
            self._forget()  # nested pixel data
        elif self.known is not None:
            self.inner.append((position, length))

    def _learn(self) -> None:
        if self.known is not None and self.fresh:
            self.known.learn(self.format, self.fresh, self.inner, self.source)
            self.fresh.clear()
            self.inner.clear()

    def _forget(self) -> None:
        """From now on learn and recognise nothing: an unusual data set is read element by element each time."""
        self.known = None
        self.fresh.clear()
        self.inner.clear()

    def _bounds(self, position: int) -> tuple[int, dict[int, PlainElement] | None, int]:
        """Limits for plain elements: where a header may begin, where to keep elements, the first tag not to take."""
        stop = min(self.limit - 7, self.base + len(self.window) - LONGEST_HEADER + 1)
        if self.frames:
            return stop, None, _DELIMITERS
        room = MAX_ELEMENTS - len(self.index)
        if room <= 0:
            return stop, None, self.ceiling
        return min(stop, position + 8 * room), self.found, self.ceiling

    # The careful part

    def _element(self, position: int, available: int) -> int:
        """One element that is not plain; returns where to go on: after it or, for a sequence, inside."""
        at = position - self.base
        group, number, *_ = self.format.header(self.window, at)
        tag = group << 16 | number
        if tag in FILLER_TAGS and len(set(self.window[at : at + 8])) == 1:
            return self._filler(position, "No element")
        if tag >= _DELIMITERS:
            return self._delimiter(tag, position)
        element = self._explicit_element(tag, position, available) if self.format.explicit else None
        if element is None:
            length = self.format.item(self.window, at)[2]
            element = Element(tag, "", position, position + 8, length, position + 8 + length)
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

    def _explicit_element(self, tag: int, position: int, available: int) -> Element | None:
        """The element of an explicit VR header; None if the item turns out to be in implicit VR."""
        at = position - self.base
        format = self.format
        _, _, code, length = format.header(self.window, at)
        vr = format.known.get(code)
        long = vr in LONG_VRS
        if long and available < LONGEST_HEADER:
            raise fault(tag, position, "Data end inside an element header")
        if vr is None:
            return self._unknown_vr(tag, position, available)
        if long:
            length = format.length32(self.window, at + 8)[0]
        value = position + (LONGEST_HEADER if long else 8)
        return Element(tag, vr, position, value, length, value + length)

    def _undefined_length(self, element: Element) -> int:
        pixel_data = element.tag in PIXEL_DATA_TAGS
        items: HeaderFormat | None = None
        if pixel_data:
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
        item = self.format.item
        while self._load(position) >= 8:
            if not next(self.steps, False):
                raise fault_in(element.tag, position, f"More than {MAX_INFLATED_STEPS} steps")
            window, base, limit = self.window, self.base, self.limit
            stop = min(limit, base + len(window)) - 7
            for _ in self.steps:
                if position >= stop:
                    break
                group, number, length = item(window, position - base)
                if group != 0xFFFE or number != 0xE000 or length == UNDEFINED_LENGTH:
                    if group == 0xFFFE and number == 0xE0DD:
                        return position + 8
                    raise fault_in(
                        element.tag, position, "No fragment", "pixel data of undefined length consist of items"
                    )
                if length & 1:
                    self._warn(f"{name(element.tag)} at {position}: Fragment of odd length {length}", element.tag)
                position += 8 + length
                if position > limit:
                    raise fault_in(element.tag, position - length - 8, "Fragment runs past the end")
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
        group, number, length = self.format.item(self.window, position - self.base)
        tag = group << 16 | number
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
            at = position - self.base
            if any(self.window[at + 4 : at + 8]):
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

    def _enter(self, owner: int, end: int | None, format: HeaderFormat, *, in_sequence: bool) -> None:
        """Enter a sequence or item; `end` is None if a delimiter will end it."""
        self.frames.append((self.in_sequence, self.delimited, self.limit, self.last, self.owner, self.format))
        self.in_sequence = in_sequence
        self.delimited = end is None
        if end is not None:
            self.limit = end
        self.last = 0
        self.owner = owner
        self.format = format

    def _leave(self, position: int) -> None:
        self.in_sequence, self.delimited, self.limit, self.last, self.owner, self.format = self.frames.pop()
        if not self.frames and self.pending is not None:
            self._keep(self.pending._replace(end=position))

    def _keep(self, element: Element) -> int:
        if not self.frames:
            if element.tag in self.index:
                self._obstacle(f"{name(element.tag)} occurs twice")
            elif len(self.index) < MAX_ELEMENTS or element.tag in PIXEL_DATA_TAGS:
                self.found[element.tag] = element
                self.fresh.append(element)
            else:
                self._overflow()
        return element.end

    # Warnings and obstacles

    def _pixel_data(self, element: Element) -> None:
        if not self.pixel_data_seen:
            self._learn()
            self._forget()
            self.index.pixel_offset = element.offset
            self.index.has_pixel_data = True
            self.ceiling = _DELIMITERS
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
        self._forget()
        if not self.pixel_data_seen:
            self.index.obstacle = text

    def _warn(self, text: str, *offending: int) -> None:
        self._forget()
        super()._warn(text, *offending)
