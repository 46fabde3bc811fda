# cython: language_level=3, boundscheck=True, wraparound=False
"""Whole C-STORE requests out of the receive buffer (PS3.7 section 9.3.1, PS3.8 section 9.3.5 and annex E).

Only what is regular is taken here. Whatever is not (another PDU, another request, an odd length, a command in pieces,
a fault) is left as it stands for the reader in Python, which knows what to do about it.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memmove, memset

cdef enum:
    P_DATA_TF = 4
    PDU_HEADER = 6
    PDV_HEADER = 6
    COMMAND_BIT = 1
    LAST_BIT = 2
    ELEMENT_HEADER = 8
    C_STORE_RQ = 1
    NO_DATA_SET = 0x0101
    MAX_UID_LENGTH = 64
    MAX_COMMAND_LENGTH = 65536
    MAX_FRAGMENTS = 512  # more than the receive buffer holds of 4 KB; all are gone over again with each receive


class _Incomplete:
    pass


INCOMPLETE = _Incomplete()
"""Regular as far as it has come."""


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


def gather(unsigned char[::1] memory, Py_ssize_t start, Py_ssize_t end, Py_ssize_t max_pdu, dict contexts):
    """The C-STORE request that begins at `start`, if it is regular and complete before `end`.

    Moves the fragments of its data set together, over the headers between them. Returns context id, message id,
    SOP class, SOP instance and move originator as received, the slices of the command set and of the data set, and
    where the next PDU is due. INCOMPLETE if there is nothing wrong with it but that it has
    not come to its end; None, with nothing moved, if it is not for here. `contexts` are the accepted ones: id to
    abstract and transfer syntax.
    """
    cdef Request request
    cdef Span command, fragment
    cdef Span fragments[MAX_FRAGMENTS]
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t at = start, pdu_end = start, first, target
    cdef unsigned int length, context_id = 0, control = 0
    cdef bint in_command = True
    cdef object syntaxes = None

    if start < 0 or end > memory.shape[0]:
        raise IndexError(f"{start} to {end} of a buffer of {memory.shape[0]} bytes")
    command.start = command.end = 0
    memset(&request, 0, sizeof(Request))
    while True:
        if at == pdu_end:
            if end - at < PDU_HEADER:
                return INCOMPLETE
            if memory[at] != P_DATA_TF:
                return None
            length = big32(memory, at + 2)
            if length > max_pdu or length < PDV_HEADER:
                return None
            at += PDU_HEADER
            pdu_end = at + length
        if pdu_end - at < PDV_HEADER:
            return None
        if end - at < PDV_HEADER:
            return INCOMPLETE
        length = big32(memory, at)
        if length < 2 or length & 1 or <Py_ssize_t>length + 4 > pdu_end - at:
            return None
        control = memory[at + 5]
        if in_command:
            context_id = memory[at + 4]
            if not control & COMMAND_BIT or not control & LAST_BIT:
                return None
            syntaxes = contexts.get(context_id)
            if syntaxes is None:
                return None
        elif memory[at + 4] != context_id or control & COMMAND_BIT:
            return None
        at += PDV_HEADER
        fragment.start = at
        fragment.end = at + length - 2
        if fragment.end > end:
            return INCOMPLETE
        at = fragment.end
        if in_command:
            in_command = False
            command = fragment
            if command.end - command.start > MAX_COMMAND_LENGTH or not read_command(memory, command, &request):
                return None
            if bytes_of(memory, unpadded(memory, request.sop_class)).decode("latin-1") != syntaxes[0]:
                return None
        else:
            if count == MAX_FRAGMENTS:
                return None
            fragments[count] = fragment
            count += 1
            if control & LAST_BIT:
                break
    if at != pdu_end:
        return None
    target = first = fragments[0].start
    for fragment in fragments[:count]:
        if fragment.start != target:
            move(memory, target, fragment.start, fragment.end - fragment.start)
        target += fragment.end - fragment.start
    return (
        context_id,
        request.message_id,
        bytes_of(memory, request.sop_class),
        bytes_of(memory, request.sop_instance),
        bytes_of(memory, request.originator),
        slice(command.start, command.end),
        slice(first, target),
        at,
    )


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
    """Whether it is a C-STORE-RQ with a data set, each element once and of the length it should have."""
    cdef Py_ssize_t at = command.start, value
    cdef unsigned int element, length, bit
    while at < command.end:
        if command.end - at < ELEMENT_HEADER or little16(memory, at):
            return False
        element = little16(memory, at + 2)
        length = little32(memory, at + 4)
        value = at + ELEMENT_HEADER
        if <Py_ssize_t>length > command.end - value:
            return False
        at = value + length
        if element == 0x0002:
            bit = 1
            request.sop_class.start, request.sop_class.end = value, at
        elif element == 0x0100:
            bit = 2
            if length != 2:
                return False
            request.field = little16(memory, value)
        elif element == 0x0110:
            bit = 4
            if length != 2:
                return False
            request.message_id = little16(memory, value)
        elif element == 0x0800:
            bit = 8
            if length != 2:
                return False
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
