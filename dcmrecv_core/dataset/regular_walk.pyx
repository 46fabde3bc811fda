# cython: language_level=3, boundscheck=True, wraparound=False
"""The walk through the regular beginning of a data set (PS3.5 chapter 7), which is nearly always all of it.

Only elements that need no warning are taken here: tags in order, even lengths, known VRs, items and delimiters where
they are due. At the first other element this walk ends, without any judgement; the walker in Python goes on there, and
decides what is a warning and what is a fault.
"""

from array import array

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdlib cimport free, realloc

cdef enum:
    ELEMENT_HEADER = 8
    LONG_HEADER = 12
    MAX_FRAMES = 64
    FIRST_CAPACITY = 512
    MAX_UID_FIELD = 1024
    SOP_CLASS_UID = 0x00080016
    SOP_INSTANCE_UID = 0x00080018

cdef unsigned int UNDEFINED = 0xFFFFFFFF
cdef unsigned int LAST_TAG = 0xFFFFFFFF
cdef unsigned int ITEM = 0xFFFEE000
cdef unsigned int ITEM_END = 0xFFFEE00D
cdef unsigned int SEQUENCE_END = 0xFFFEE0DD
cdef unsigned int DELIMITERS = 0xFFFE0000
cdef unsigned int FLOAT_PIXEL_DATA = 0x7FE00008
cdef unsigned int DOUBLE_PIXEL_DATA = 0x7FE00009
cdef unsigned int PIXEL_DATA = 0x7FE00010

cdef enum Kind:
    UNKNOWN = 0
    SHORT = 1
    LONG = 2
    SEQUENCE = 3
    UNKNOWN_VALUE = 4  # UN


cdef struct Place:
    unsigned int tag
    unsigned int length
    unsigned short vr
    Py_ssize_t offset
    Py_ssize_t value
    Py_ssize_t end


cdef struct Frame:
    bint in_sequence
    bint delimited
    bint implicit  # in a UN of undefined length
    Py_ssize_t limit
    unsigned int last


cdef class HeaderFormat:
    """How to read headers, and which VRs and sequences there are.

    `short_vrs` and `long_vrs` are VRs by the length of their headers. `sequence_tags` yields the tags of sequences, which
    are needed for implicit VR only.
    """

    cdef bint explicit
    cdef bint little
    cdef unsigned char[::1] kinds
    cdef dict names
    cdef object sequence_tags
    cdef unsigned int[::1] sequences
    cdef HeaderFormat unknown

    def __init__(self, bint explicit, bint little, short_vrs, long_vrs, sequence_tags):
        self.explicit, self.little, self.sequence_tags = explicit, little, sequence_tags
        self.kinds = bytearray(1 << 16)
        self.names = {0: ""}
        for kind, vrs in ((SHORT, short_vrs), (LONG, long_vrs)):
            for vr in vrs:
                number = int.from_bytes(vr.encode(), "big")
                self.names[number] = vr
                self.kinds[number] = SEQUENCE if vr == "SQ" else UNKNOWN_VALUE if vr == "UN" else kind

    cdef HeaderFormat of_unknown(self):
        """The format in a UN of undefined length (PS3.5 section 6.2.2)."""
        if self.unknown is None:
            self.unknown = HeaderFormat(False, True, (), (), self.sequence_tags)
        return self.unknown

    cdef inline unsigned int u16(self, const unsigned char[::1] data, Py_ssize_t at):
        cdef unsigned int first = data[at], second = data[at + 1]
        return first | second << 8 if self.little else first << 8 | second

    cdef inline unsigned int u32(self, const unsigned char[::1] data, Py_ssize_t at):
        cdef unsigned int first = self.u16(data, at), second = self.u16(data, at + 2)
        return first | second << 16 if self.little else first << 16 | second

    cdef inline unsigned int tag(self, const unsigned char[::1] data, Py_ssize_t at):
        return self.u16(data, at) << 16 | self.u16(data, at + 2)

    cdef unsigned char read(self, const unsigned char[::1] data, Place *place) except? 255:
        """Read the header at the offset of `place` and set VR, length and where the value begins, nothing else.

        UNKNOWN if there is no such VR, or the data end within a long header.
        """
        cdef Py_ssize_t at = place.offset
        cdef unsigned char kind
        if not self.explicit:
            place.vr = 0
            place.length = self.u32(data, at + 4)
            place.value = at + ELEMENT_HEADER
            return LONG
        place.vr = <unsigned short>data[at + 4] << 8 | data[at + 5]
        kind = self.kinds[place.vr]
        if kind == SHORT:
            place.length = self.u16(data, at + 6)
            place.value = at + ELEMENT_HEADER
        elif kind != UNKNOWN and data.shape[0] - at >= LONG_HEADER:
            place.length = self.u32(data, at + 8)
            place.value = at + LONG_HEADER
        else:
            return UNKNOWN
        return kind

    cdef bint has_items(self, unsigned int tag, unsigned int length) except -1:
        """Whether an element in implicit VR is a sequence."""
        cdef Py_ssize_t low = 0, high, middle
        if length == UNDEFINED:
            return not is_pixel_data(tag)
        if self.sequence_tags is not None:
            self.sequences, self.sequence_tags = array("I", sorted(self.sequence_tags())), None
        high = self.sequences.shape[0]
        while low < high:
            middle = (low + high) >> 1
            if self.sequences[middle] < tag:
                low = middle + 1
            else:
                high = middle
        return low < self.sequences.shape[0] and self.sequences[low] == tag


cdef class Elements:
    """The top-level elements of a regular beginning, a mapping by tag of (tag, VR, offset, value offset, length, end).

    It keeps their offsets only and reads a header again each time, so it is valid as long as the data are.
    """

    cdef const unsigned char[::1] data
    cdef HeaderFormat format
    cdef Py_ssize_t *offsets
    cdef Py_ssize_t count
    cdef Py_ssize_t capacity
    cdef readonly Py_ssize_t end
    """Offset after them."""
    cdef readonly Py_ssize_t pixel_offset
    """Of the first pixel data element's header; -1 if there is none."""

    def __cinit__(self):
        self.offsets = NULL
        self.count = self.capacity = self.end = 0
        self.pixel_offset = -1

    def __dealloc__(self):
        free(self.offsets)

    cdef int add(self, Py_ssize_t offset) except -1:
        cdef Py_ssize_t capacity
        cdef void *grown
        if self.count == self.capacity:
            capacity = 2 * self.capacity if self.capacity else FIRST_CAPACITY
            grown = realloc(self.offsets, capacity * sizeof(Py_ssize_t))
            if grown == NULL:
                raise MemoryError()
            self.offsets, self.capacity = <Py_ssize_t *>grown, capacity
        self.offsets[self.count] = offset
        self.count += 1
        return 0

    cdef void drop_incomplete(self):
        """Drop the element at which the walk ended."""
        if self.count and self.offsets[self.count - 1] == self.end:
            self.count -= 1

    cdef Py_ssize_t find(self, unsigned int tag) except -2:
        cdef Py_ssize_t low = 0, high = self.count, middle
        while low < high:
            middle = (low + high) >> 1
            if self.format.tag(self.data, self.offsets[middle]) < tag:
                low = middle + 1
            else:
                high = middle
        return low if low < self.count and self.format.tag(self.data, self.offsets[low]) == tag else -1

    cdef tuple plain(self, Py_ssize_t at):
        cdef Place place
        cdef Py_ssize_t end = self.offsets[at + 1] if at + 1 < self.count else self.end
        place.offset = self.offsets[at]
        if self.format.read(self.data, &place) == UNKNOWN:
            raise ValueError(f"the data at {place.offset} are not what they were")
        return (
            self.format.tag(self.data, place.offset),
            self.format.names[place.vr],
            place.offset,
            place.value,
            place.length,
            end,
        )

    cdef str uid(self, unsigned int tag):
        """The text of a UID, cut at the first NUL, without trailing blanks; None if it is absent, or has no end here."""
        cdef Place place
        cdef Py_ssize_t at = self.find(tag), end
        if at < 0:
            return None
        place.offset = self.offsets[at]
        if self.format.read(self.data, &place) == UNKNOWN or place.length > MAX_UID_FIELD:
            return None
        end = place.value + place.length
        if end > self.data.shape[0]:
            return None
        if place.value == end:
            return ""
        value = PyBytes_FromStringAndSize(<const char *>&self.data[place.value], end - place.value)
        return value.partition(b"\0")[0].rstrip(b" ").decode("latin-1")

    @property
    def uids(self):
        """SOP Class UID and SOP Instance UID; None unless both are there."""
        sop_class, sop_instance = self.uid(SOP_CLASS_UID), self.uid(SOP_INSTANCE_UID)
        return None if sop_class is None or sop_instance is None else (sop_class, sop_instance)

    def __len__(self):
        return self.count

    def __contains__(self, tag):
        return isinstance(tag, int) and 0 <= tag <= LAST_TAG and self.find(tag) >= 0

    def get(self, tag):
        cdef Py_ssize_t at = self.find(tag) if 0 <= tag <= LAST_TAG else -1
        return None if at < 0 else self.plain(at)

    def values(self):
        return [self.plain(at) for at in range(self.count)]

    @property
    def last(self):
        """The last tag; 0 if there is no element."""
        return self.format.tag(self.data, self.offsets[self.count - 1]) if self.count else 0


def walk(
    const unsigned char[::1] data, Py_ssize_t size, HeaderFormat format, bint encapsulated, bint whole, Py_ssize_t most
):
    """The regular beginning of a data set of `size` bytes, as far as its headers are in `data`, the first of these bytes.

    It ends before pixel data unless `whole`, before more than `most` elements, and before sequences too deep.
    """
    cdef Walk walk = Walk()
    walk.data, walk.format, walk.encapsulated, walk.whole, walk.most = data, format, encapsulated, whole, most
    walk.current = format
    walk.found = Elements()
    walk.found.data, walk.found.format = data, format
    walk.now.limit = size
    if walk.begins_well():
        walk.run()
        walk.found.drop_incomplete()
    return walk.found


cdef class Walk:
    cdef const unsigned char[::1] data
    cdef HeaderFormat format
    cdef HeaderFormat current  # of the value that is being walked
    cdef bint encapsulated
    cdef bint whole
    cdef Py_ssize_t most
    cdef Elements found
    cdef Frame now  # the value that is being walked; outer ones are in `frames`
    cdef Frame frames[MAX_FRAMES]
    cdef int depth

    cdef bint begins_well(self) except -1:
        """No file header, and a VR if and only if VRs are explicit."""
        cdef Py_ssize_t size = self.data.shape[0]
        if size < ELEMENT_HEADER or (self.data[0] == 2 and self.data[1] == 0):
            return False
        if size >= 132 and bytes(self.data[128:132]) == b"DICM":
            return False
        return (self.kind(0) != UNKNOWN) == self.format.explicit

    cdef inline unsigned char kind(self, Py_ssize_t at) except? 255:
        return self.format.kinds[<unsigned int>self.data[at + 4] << 8 | self.data[at + 5]]

    cdef int run(self) except -1:
        """Walk to the end of the data set, or into the first top-level element that is not regular."""
        cdef Py_ssize_t at = 0
        cdef Place place
        cdef unsigned char kind
        while True:
            if not self.depth:
                self.found.end = at
            if at == self.now.limit and not self.now.delimited:
                if not self.depth:
                    return 0
                self.leave()
                continue
            if self.readable(at) < ELEMENT_HEADER:
                return 0
            place.tag = self.current.tag(self.data, at)
            place.offset = at
            if self.now.in_sequence or (place.tag == ITEM_END and self.now.delimited):
                if not self.item(place.tag, at):
                    return 0
                at += ELEMENT_HEADER
                continue
            if place.tag <= self.now.last or place.tag >= DELIMITERS:
                return 0
            self.now.last = place.tag
            if not self.depth:
                if self.found.count == self.most:
                    return 0
                self.found.add(at)
            kind = self.header(&place)
            if kind == UNKNOWN or (not self.depth and is_pixel_data(place.tag) and not self.pixel_data(&place)):
                return 0
            if (kind == SEQUENCE and place.length) or (kind == UNKNOWN_VALUE and place.length == UNDEFINED):
                if self.depth > MAX_FRAMES - 2:
                    return 0
                self.enter(place.length == UNDEFINED, place.end, True)
                if kind == UNKNOWN_VALUE:
                    self.now.implicit = True
                    self.current = self.format.of_unknown()
                at = place.value
            else:
                at = place.end

    cdef inline Py_ssize_t readable(self, Py_ssize_t at):
        """Bytes from there on that are in the data and in the value that is being walked."""
        return min(self.now.limit, self.data.shape[0]) - at

    cdef unsigned char header(self, Place *place) except? 255:
        """Complete `place`, whose offset is set; UNKNOWN if the element is not regular."""
        cdef unsigned char kind = self.current.read(self.data, place)
        if kind == UNKNOWN:
            return UNKNOWN
        if not self.current.explicit and place.length and self.current.has_items(place.tag, place.length):
            kind = SEQUENCE
        place.end = place.value
        if place.length != UNDEFINED:
            place.end += place.length
            return UNKNOWN if place.length & 1 or place.end > self.now.limit else kind
        if kind == SEQUENCE or kind == UNKNOWN_VALUE:
            return UNKNOWN if is_pixel_data(place.tag) else kind
        return kind if self.fragments(place) else UNKNOWN

    cdef bint pixel_data(self, Place *place):
        """Whether pixel data at top level are wanted, and have the form that the transfer syntax says."""
        if not self.whole or (place.tag == PIXEL_DATA and self.encapsulated != (place.length == UNDEFINED)):
            return False
        if self.found.pixel_offset < 0:
            self.found.pixel_offset = place.offset
        return True

    cdef bint fragments(self, Place *place) except -1:
        """Walk over the fragments of encapsulated pixel data (PS3.5 A.4) and their delimiter."""
        cdef unsigned int tag, length
        while self.readable(place.end) >= ELEMENT_HEADER:
            tag = self.current.tag(self.data, place.end)
            length = self.current.u32(self.data, place.end + 4)
            place.end += ELEMENT_HEADER
            if tag == SEQUENCE_END:
                return True
            if tag != ITEM or length & 1 or length > self.now.limit - place.end:
                return False
            place.end += length
        return False

    cdef bint item(self, unsigned int tag, Py_ssize_t at) except -1:
        """Enter an item or leave at a delimiter, whichever is due (PS3.5 section 7.5)."""
        cdef unsigned int length
        if tag == ITEM and self.now.in_sequence:
            length = self.current.u32(self.data, at + 4)
            at += ELEMENT_HEADER
            if length != UNDEFINED and length > self.now.limit - at:
                return False
            self.enter(length == UNDEFINED, at + length, False)
        elif tag == (SEQUENCE_END if self.now.in_sequence else ITEM_END) and self.now.delimited:
            if self.current.u32(self.data, at + 4):
                return False
            self.leave()
        else:
            return False
        return True

    cdef int enter(self, bint delimited, Py_ssize_t end, bint in_sequence) except -1:
        self.frames[self.depth] = self.now
        self.depth += 1
        self.now.in_sequence = in_sequence
        self.now.delimited = delimited
        if not delimited:
            self.now.limit = end
        self.now.last = 0
        return 0

    cdef int leave(self) except -1:
        self.depth -= 1
        self.now = self.frames[self.depth]
        if not self.now.implicit:
            self.current = self.format
        return 0


cdef inline bint is_pixel_data(unsigned int tag):
    return tag == PIXEL_DATA or tag == FLOAT_PIXEL_DATA or tag == DOUBLE_PIXEL_DATA
