# cython: language_level=3, boundscheck=True, wraparound=False
"""The walk through a regular data set (PS3.5 section 7.1), from its first byte to its last.

Only data sets that need no warning are taken here: tags in order, even lengths, known VRs, items and delimiters where
they are due. All others are left to the walker in Python, which decides what is a warning and what is a fault.
"""

from libc.stdlib cimport free, realloc

cdef enum:
    ELEMENT_HEADER = 8
    LONG_HEADER = 12
    MAX_FRAMES = 64
    FIRST_CAPACITY = 512

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
    Py_ssize_t limit
    unsigned int last


cdef class HeaderFormat:
    """How to read headers, and which VRs and sequences there are.

    `short_vrs` and `long_vrs` are VRs by the length of their headers, `sequences` the tags of sequences, for implicit VR.
    """

    cdef bint explicit
    cdef bint little
    cdef unsigned char[::1] kinds
    cdef unsigned int[::1] sequences
    cdef dict names

    def __init__(self, bint explicit, bint little, short_vrs, long_vrs, sequences):
        from array import array

        self.explicit, self.little = explicit, little
        self.kinds = bytearray(1 << 16)
        self.names = {0: ""}
        self.sequences = array("I", sorted(sequences))
        for kind, vrs in ((SHORT, short_vrs), (LONG, long_vrs)):
            for vr in vrs:
                number = int.from_bytes(vr.encode(), "big")
                self.names[number] = vr
                self.kinds[number] = SEQUENCE if vr == "SQ" else UNKNOWN_VALUE if vr == "UN" else kind

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

    cdef bint has_items(self, unsigned int tag, unsigned int length):
        """Whether an element in implicit VR is a sequence."""
        cdef Py_ssize_t low = 0, high = self.sequences.shape[0], middle
        if length == UNDEFINED:
            return not is_pixel_data(tag)
        while low < high:
            middle = (low + high) >> 1
            if self.sequences[middle] < tag:
                low = middle + 1
            else:
                high = middle
        return low < self.sequences.shape[0] and self.sequences[low] == tag


cdef class Elements:
    """The top-level elements of a regular data set, a mapping by tag of (tag, VR, offset, value offset, length, end).

    It keeps their offsets only and reads a header again each time, so it is valid as long as the data are.
    """

    cdef const unsigned char[::1] data
    cdef HeaderFormat format
    cdef Py_ssize_t *offsets
    cdef Py_ssize_t count
    cdef Py_ssize_t capacity
    cdef readonly Py_ssize_t pixel_offset
    """Of the first pixel data element's header; -1 if there is none."""

    def __cinit__(self):
        self.offsets = NULL
        self.count = self.capacity = 0
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
        cdef Py_ssize_t end = self.offsets[at + 1] if at + 1 < self.count else self.data.shape[0]
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
    def elements(self):
        """Itself: the elements of a run, as an index wants them."""
        return self

    @property
    def first(self):
        return self.format.tag(self.data, self.offsets[0])

    @property
    def last(self):
        return self.format.tag(self.data, self.offsets[self.count - 1])


def walk(const unsigned char[::1] data, HeaderFormat format, bint encapsulated, Py_ssize_t most):
    """The elements of a data set that is regular from its first byte to its last, else None.

    None as well if there are more than `most` at top level, or sequences too deep.
    """
    cdef Walk walk = Walk()
    walk.data, walk.format, walk.encapsulated, walk.most = data, format, encapsulated, most
    walk.found = Elements()
    walk.found.data, walk.found.format = data, format
    walk.now.limit = data.shape[0]
    return walk.found if walk.begins_well() and walk.run() else None


cdef class Walk:
    cdef const unsigned char[::1] data
    cdef HeaderFormat format
    cdef bint encapsulated
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

    cdef bint run(self) except -1:
        """Whether the whole data set is regular."""
        cdef Py_ssize_t at = 0
        cdef Place place
        cdef unsigned char kind
        while True:
            if at == self.now.limit and not self.now.delimited:
                if not self.depth:
                    return True
                self.leave()
                continue
            if self.now.limit - at < ELEMENT_HEADER:
                return False
            place.tag = self.format.tag(self.data, at)
            place.offset = at
            if self.now.in_sequence or (place.tag == ITEM_END and self.now.delimited):
                if not self.item(place.tag, at):
                    return False
                at += ELEMENT_HEADER
                continue
            if place.tag <= self.now.last or place.tag >= DELIMITERS:
                return False
            self.now.last = place.tag
            if not self.depth:
                self.found.add(at)
                if self.found.count > self.most:
                    return False
            kind = self.header(&place)
            if kind == UNKNOWN or (not self.depth and is_pixel_data(place.tag) and not self.pixel_data(&place)):
                return False
            if kind == SEQUENCE and place.length:
                if self.depth > MAX_FRAMES - 2:
                    return False
                self.enter(place.length == UNDEFINED, place.end, True)
                at = place.value
            else:
                at = place.end

    cdef unsigned char header(self, Place *place) except? 255:
        """Complete `place`, whose offset is set; UNKNOWN if the element is not regular."""
        cdef unsigned char kind = self.format.read(self.data, place)
        if kind == UNKNOWN:
            return UNKNOWN
        if not self.format.explicit and place.length and self.format.has_items(place.tag, place.length):
            kind = SEQUENCE
        place.end = place.value
        if place.length == UNDEFINED:
            if is_pixel_data(place.tag):
                return UNKNOWN if self.depth or kind == SEQUENCE or kind == UNKNOWN_VALUE else kind
            return kind if kind == SEQUENCE else UNKNOWN
        place.end += place.length
        return UNKNOWN if place.length & 1 or place.end > self.now.limit else kind

    cdef bint pixel_data(self, Place *place) except -1:
        """Whether pixel data have the form that the transfer syntax says."""
        if self.found.pixel_offset < 0:
            self.found.pixel_offset = place.offset
        if place.tag == PIXEL_DATA and self.encapsulated != (place.length == UNDEFINED):
            return False
        return place.length != UNDEFINED or self.fragments(place)

    cdef bint fragments(self, Place *place) except -1:
        """Walk over the fragments of encapsulated pixel data (PS3.5 A.4) and their delimiter."""
        cdef Py_ssize_t limit = self.now.limit
        cdef unsigned int tag, length
        while limit - place.end >= ELEMENT_HEADER:
            tag = self.format.tag(self.data, place.end)
            length = self.format.u32(self.data, place.end + 4)
            place.end += ELEMENT_HEADER
            if tag == SEQUENCE_END:
                return True
            if tag != ITEM or length & 1 or length > limit - place.end:
                return False
            place.end += length
        return False

    cdef bint item(self, unsigned int tag, Py_ssize_t at) except -1:
        """Enter an item or leave at a delimiter, whichever is due (PS3.5 section 7.5)."""
        cdef unsigned int length
        if tag == ITEM and self.now.in_sequence:
            length = self.format.u32(self.data, at + 4)
            at += ELEMENT_HEADER
            if length != UNDEFINED and length > self.now.limit - at:
                return False
            self.enter(length == UNDEFINED, at + length, False)
        elif tag == (SEQUENCE_END if self.now.in_sequence else ITEM_END) and self.now.delimited:
            if self.format.u32(self.data, at + 4):
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
        return 0


cdef inline bint is_pixel_data(unsigned int tag):
    return tag == PIXEL_DATA or tag == FLOAT_PIXEL_DATA or tag == DOUBLE_PIXEL_DATA
