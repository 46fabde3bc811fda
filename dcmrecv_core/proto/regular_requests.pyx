# cython: language_level=3, boundscheck=True, wraparound=False
"""C-STORE requests out of the receive buffer (PS3.7 section 9.3.1, PS3.8 section 9.3.5 and annex E).

Only regular requests are taken here. Everything else (another PDU, another request, an odd length, a command in pieces,
a fault) stays unchanged for the reader in Python, which handles it.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memcpy, memmove, memset

from dcmrecv_core.proto.dimse import Command, command_text
from dcmrecv_core.proto.events import DataReceived, StoreRequested

cdef enum:
    P_DATA_TF = 4
    PDU_HEADER = 6
    PDV_HEADER = 6
    COMMAND_BIT = 1
    LAST_BIT = 2
    ELEMENT_HEADER = 8
    GROUP_LENGTH = 12
    C_STORE_RQ = 1
    RESPONSE_BIT = 0x8000
    MAX_RESPONSE = 256  # 12 for headers, 12 for the group length, four numbers of 10 and two UIDs of 72 at most
    NO_DATA_SET = 0x0101
    MAX_UID_LENGTH = 64
    MAX_COMMAND_LENGTH = 65536
    MAX_FRAGMENTS = 512  # the receive buffer holds fewer of 4 KB; each receive reads all of them again


cdef struct Span:
    Py_ssize_t start
    Py_ssize_t end


cdef struct Request:
    unsigned int field
    unsigned int message_id
    unsigned int data_set_type
    unsigned int seen  # a bit for each of the elements below
    Span sop_class
    Span sop_instance
    Span originator


cdef inline unsigned int big32(const unsigned char[::1] memory, Py_ssize_t at):
    return (
        <unsigned int>memory[at] << 24 | <unsigned int>memory[at + 1] << 16
        | <unsigned int>memory[at + 2] << 8 | <unsigned int>memory[at + 3]
    )


cdef inline unsigned int little16(const unsigned char[::1] memory, Py_ssize_t at):
    return <unsigned int>memory[at] | <unsigned int>memory[at + 1] << 8


cdef inline unsigned int little32(const unsigned char[::1] memory, Py_ssize_t at):
    return little16(memory, at) | little16(memory, at + 2) << 16


cdef enum Found:
    IRREGULAR
    MISSING
    READ


cdef struct Reader:
    Py_ssize_t at  # where the next PDV is due, in the PDU that ends at `pdu_end`
    Py_ssize_t pdu_end
    unsigned int context_id
    unsigned int control
    Span fragment


INCOMPLETE = "incomplete"
"""The data set is regular so far, but its end has not come."""

cdef object make = tuple.__new__  # of a named tuple, without a call of Python code


def read_request(unsigned char[::1] memory, view, Py_ssize_t start, Py_ssize_t end, Py_ssize_t max_pdu, dict contexts):
    """The C-STORE request that begins at `start` of `memory`, if it is regular and its command set complete before `end`.

    Returns StoreRequested; DataReceived if all of the data set is there, else None; where the next PDV or PDU is due; and
    how much of its PDU is left. None, with nothing moved, if the request is not regular or its command set not complete.
    `view` is one of `memory`; `contexts` are the accepted ones: id to abstract and transfer syntax.
    """
    cdef Request request
    cdef Reader reader
    cdef Span command
    check_bounds(memory, start, end)
    memset(&request, 0, sizeof(Request))
    memset(&reader, 0, sizeof(Reader))
    reader.at = reader.pdu_end = start
    if read_pdv_header(memory, end, max_pdu, &reader) != READ:
        return None
    command = reader.fragment
    if reader.context_id not in contexts or not reader.control & COMMAND_BIT or not reader.control & LAST_BIT:
        return None
    if command.end > end or not read_command(memory, command, &request):
        return None
    abstract_syntax, transfer_syntax = contexts[reader.context_id]
    if bytes_of(memory, unpadded(memory, request.sop_class)).decode("latin-1") != abstract_syntax:
        return None
    originator = bytes_of(memory, request.originator)
    store = make(StoreRequested, (
        reader.context_id,
        make(Command, (
            C_STORE_RQ,
            request.message_id,
            True,
            bytes_of(memory, request.sop_class),
            bytes_of(memory, request.sop_instance),
            command_text(originator) if originator else "",
            bytes_of(memory, command),
            abstract_syntax,
            bytes_of(memory, unpadded(memory, request.sop_instance)).decode("latin-1"),
        )),
        abstract_syntax,
        transfer_syntax,
    ))
    start, end_of_pdu = reader.at, reader.pdu_end
    data = data_set(memory, view, end, max_pdu, &reader)
    if data is None or data is INCOMPLETE:
        return store, None, start, end_of_pdu - start
    return store, data, reader.at, reader.pdu_end - reader.at


def read_data_set(
    unsigned char[::1] memory,
    view,
    Py_ssize_t start,
    Py_ssize_t end,
    Py_ssize_t left,
    Py_ssize_t max_pdu,
    unsigned int context_id,
):
    """The data set whose first PDV is due at `start`, where its PDU has `left` bytes left, if all of it is regular.

    Returns DataReceived, where the next PDV or PDU is due, and how much of its PDU is left. INCOMPLETE if its end has
    not come; None, with nothing moved, if it is not regular.
    """
    cdef Reader reader
    check_bounds(memory, start, end)
    memset(&reader, 0, sizeof(Reader))
    reader.at, reader.pdu_end, reader.context_id = start, start + left, context_id
    data = data_set(memory, view, end, max_pdu, &reader)
    if data is None or data is INCOMPLETE:
        return data
    return data, reader.at, reader.pdu_end - reader.at


cdef int check_bounds(const unsigned char[::1] memory, Py_ssize_t start, Py_ssize_t end) except -1:
    if start < 0 or start > end or end > memory.shape[0]:
        raise IndexError(f"{start} to {end} of a buffer of {memory.shape[0]} bytes")
    return 0


cdef object data_set(unsigned char[::1] memory, view, Py_ssize_t end, Py_ssize_t max_pdu, Reader *reader):
    """DataReceived with the fragments of the data set that is next, on the context of `reader`; INCOMPLETE or None.

    Moves the fragments together, over the headers between them."""
    cdef Span fragments[MAX_FRAGMENTS]
    cdef Py_ssize_t count = 0, end_of_data
    cdef unsigned int context_id = reader.context_id
    cdef Found found
    reader.control = 0
    while not reader.control & LAST_BIT:
        found = read_pdv_header(memory, end, max_pdu, reader)
        if found != READ:
            return INCOMPLETE if found == MISSING else None
        if reader.context_id != context_id or reader.control & COMMAND_BIT:
            return None
        if reader.fragment.end > end:
            return INCOMPLETE
        if count == MAX_FRAGMENTS:
            return None
        fragments[count] = reader.fragment
        count += 1
    end_of_data = join(memory, fragments, count)
    return make(DataReceived, ([view[fragments[0].start:end_of_data]], True))


def encode_response(unsigned int context_id, command, unsigned int status, Py_ssize_t max_length):
    """The response to `command` with a status only (PS3.7 section 9.3.1.2), as a P-DATA-TF of one PDV; None if a UID is
    longer than the standard allows, or the PDU than the peer's `max_length` (0: no limit)."""
    cdef Response response
    cdef bytes sop_class = command[3], sop_instance = command[4]
    cdef unsigned int field = command[0], message_id = command[1]
    cdef Py_ssize_t length
    if len(sop_class) > MAX_UID_LENGTH or len(sop_instance) > MAX_UID_LENGTH:
        return None
    response.end = PDU_HEADER + PDV_HEADER + GROUP_LENGTH
    if sop_class:
        add_uid(&response, 0x0002, sop_class)
    add_number(&response, 0x0100, field | RESPONSE_BIT)
    add_number(&response, 0x0120, message_id)
    add_number(&response, 0x0800, NO_DATA_SET)
    add_number(&response, 0x0900, status)
    if sop_instance:
        add_uid(&response, 0x1000, sop_instance)
    length = response.end - PDU_HEADER
    if max_length and length > max_length:
        return None
    put(&response, 0, P_DATA_TF, 2)
    put_big32(&response, 2, length)
    put_big32(&response, PDU_HEADER, length - 4)
    put(&response, PDU_HEADER + 4, context_id, 1)
    put(&response, PDU_HEADER + 5, COMMAND_BIT | LAST_BIT, 1)
    put(&response, PDU_HEADER + PDV_HEADER, 0, 4)
    put(&response, PDU_HEADER + PDV_HEADER + 4, 4, 4)
    put(&response, PDU_HEADER + PDV_HEADER + 8, length - PDV_HEADER - GROUP_LENGTH, 4)
    return PyBytes_FromStringAndSize(<const char *>response.octets, response.end)


cdef struct Response:
    unsigned char octets[MAX_RESPONSE]
    Py_ssize_t end


cdef inline void put(Response *response, Py_ssize_t at, Py_ssize_t value, int count):
    """Little endian."""
    cdef int number
    for number in range(count):
        response.octets[at + number] = <unsigned char>(value >> 8 * number)


cdef inline void put_big32(Response *response, Py_ssize_t at, Py_ssize_t value):
    cdef int number
    for number in range(4):
        response.octets[at + number] = <unsigned char>(value >> 8 * (3 - number))


cdef void add_number(Response *response, unsigned int element, unsigned int value):
    put(response, response.end, <Py_ssize_t>element << 16, 4)
    put(response, response.end + 4, 2, 4)
    put(response, response.end + 8, value, 2)
    response.end += ELEMENT_HEADER + 2


cdef int add_uid(Response *response, unsigned int element, bytes uid) except -1:
    cdef Py_ssize_t length = len(uid), even = length + (length & 1)
    put(response, response.end, <Py_ssize_t>element << 16, 4)
    put(response, response.end + 4, even, 4)
    response.octets[response.end + ELEMENT_HEADER + even - 1] = 0
    memcpy(&response.octets[response.end + ELEMENT_HEADER], <const char *>uid, length)
    response.end += ELEMENT_HEADER + even
    return 0


cdef Found read_pdv_header(const unsigned char[::1] memory, Py_ssize_t end, Py_ssize_t max_pdu, Reader *reader) except *:
    """Read the next PDV header, after a PDU header if one is due; the reader is then at the end of the fragment."""
    cdef unsigned int length
    if reader.at == reader.pdu_end:
        if end - reader.at < PDU_HEADER:
            return MISSING
        length = big32(memory, reader.at + 2)
        if memory[reader.at] != P_DATA_TF or length > max_pdu or length < PDV_HEADER:
            return IRREGULAR
        reader.at += PDU_HEADER
        reader.pdu_end = reader.at + length
    if reader.pdu_end - reader.at < PDV_HEADER:
        return IRREGULAR
    if end - reader.at < PDV_HEADER:
        return MISSING
    length = big32(memory, reader.at)
    if length < 2 or length & 1 or <Py_ssize_t>length + 4 > reader.pdu_end - reader.at:
        return IRREGULAR
    reader.context_id = memory[reader.at + 4]
    reader.control = memory[reader.at + 5]
    reader.fragment.start = reader.at + PDV_HEADER
    reader.at = reader.fragment.end = reader.fragment.start + length - 2
    return READ


cdef Py_ssize_t join(unsigned char[::1] memory, Span *fragments, Py_ssize_t count) except -1:
    """Append all fragments to the first; returns where the last one ends then."""
    cdef Py_ssize_t target = fragments[0].start
    cdef Span fragment
    for fragment in fragments[:count]:
        if fragment.start != target:
            move(memory, target, fragment.start, length_of(fragment))
        target += length_of(fragment)
    return target


cdef bytes bytes_of(const unsigned char[::1] memory, Span span):
    if span.start >= span.end:
        return b""
    if span.start < 0 or span.end > memory.shape[0]:
        raise IndexError("value outside of the buffer")
    return PyBytes_FromStringAndSize(<const char *>&memory[span.start], span.end - span.start)


cdef int move(unsigned char[::1] memory, Py_ssize_t target, Py_ssize_t begin, Py_ssize_t length) except -1:
    if length:
        if target < 0 or begin < 0 or target + length > memory.shape[0] or begin + length > memory.shape[0]:
            raise IndexError("fragment outside of the buffer")
        memmove(&memory[target], &memory[begin], length)
    return 0


cdef bint read_command(const unsigned char[::1] memory, Span command, Request *request) except -1:
    """Whether it is a C-STORE-RQ with a data set, with each element once and of the right length."""
    cdef Py_ssize_t at = command.start, value
    cdef unsigned int element, length, bit
    if length_of(command) > MAX_COMMAND_LENGTH:
        return False
    while at < command.end:
        if command.end - at < ELEMENT_HEADER or little16(memory, at):
            return False
        element = little16(memory, at + 2)
        length = little32(memory, at + 4)
        value = at + ELEMENT_HEADER
        if <Py_ssize_t>length > command.end - value:
            return False
        at = value + length
        if length != 2 and element in (0x0100, 0x0110, 0x0800):
            return False
        if element == 0x0002:
            bit = 1
            request.sop_class.start, request.sop_class.end = value, at
        elif element == 0x0100:
            bit = 2
            request.field = little16(memory, value)
        elif element == 0x0110:
            bit = 4
            request.message_id = little16(memory, value)
        elif element == 0x0800:
            bit = 8
            request.data_set_type = little16(memory, value)
        elif element == 0x1000:
            bit = 16
            request.sop_instance.start, request.sop_instance.end = value, at
        elif element == 0x1030:
            bit = 32
            request.originator.start, request.originator.end = value, at
        else:
            continue
        if request.seen & bit:
            return False
        request.seen |= bit
    return (
        request.seen & 31 == 31
        and request.field == C_STORE_RQ
        and request.data_set_type != NO_DATA_SET
        and is_uid(memory, request.sop_instance)
        and length_of(unpadded(memory, request.sop_class)) <= MAX_UID_LENGTH
    )


cdef inline Py_ssize_t length_of(Span span):
    return span.end - span.start


cdef Span unpadded(const unsigned char[::1] memory, Span span) except *:
    """The same without one NUL at its end."""
    if span.end > span.start and memory[span.end - 1] == 0:
        span.end -= 1
    return span


cdef bint is_uid(const unsigned char[::1] memory, Span span) except -1:
    """Digits in groups with dots between, padded with one NUL at most."""
    cdef Py_ssize_t at = span.start, end = unpadded(memory, span).end
    cdef bint due = True  # a digit is
    if end - at > MAX_UID_LENGTH:
        return False
    while at < end:
        if 48 <= memory[at] <= 57:
            due = False
        elif memory[at] == 46 and not due:
            due = True
        else:
            return False
        at += 1
    return not due
