"""PDUs and messages as bytes: made field by field, and taken apart (PS3.8 section 9.3, PS3.7 section 6.3 and annex D).

Nothing here uses the code under test or pynetdicom, so that a misunderstanding cannot hide on both sides.
"""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Iterable, Iterator, Sequence

from support.uids import APPLICATION_CONTEXT, CT, EXPLICIT_LE, IMPLICIT_LE, MR, VERIFICATION

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)

MAX_LENGTH, IMPLEMENTATION_CLASS, WINDOW, ROLE, IMPLEMENTATION_VERSION, EXTENDED = range(0x51, 0x57)
COMMON_EXTENDED, IDENTITY = 0x57, 0x58

INSTANCE = "1.2.3.4.5.6"
"""SOP Instance UID of STORE_RQ."""

Command = dict[int, int | str | bytes]
"""Elements of group 0000 by element number; int is a US, str a UID."""


def hexa(text: str) -> bytes:
    """Hex digits, with what follows a `;` on a line as annotation."""
    return bytes.fromhex(re.sub(r";.*", "", text))


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxI", kind, len(body)) + body


def item(kind: int, *parts: bytes | str) -> bytes:
    """An item or sub-item of an association request or response."""
    body = b"".join(map(_bytes, parts))
    return struct.pack(">BxH", kind, len(body)) + body


def counted(text: bytes | str) -> bytes:
    """A field with its 16-bit length before it."""
    return struct.pack(">H", len(_bytes(text))) + _bytes(text)


def _bytes(text: bytes | str) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text


def release_rq() -> bytes:
    return pdu(RELEASE_RQ, bytes(4))


def abort(source: int, reason: int) -> bytes:
    return pdu(ABORT, bytes([0, 0, source, reason]))


# Association requests


def context(number: int, abstract: bytes | str | None, *transfer: bytes | str) -> bytes:
    """Presentation context item (PS3.8 section 9.3.2.2)."""
    abstracts = () if abstract is None else (item(0x30, abstract),)
    return item(0x20, bytes([number, 0, 0, 0]), *abstracts, *(item(0x40, uid) for uid in transfer))


def max_length(number: int) -> bytes:
    return item(MAX_LENGTH, struct.pack(">I", number))


DEFAULT_CONTEXTS = (
    context(1, VERIFICATION, IMPLICIT_LE),
    context(3, CT, EXPLICIT_LE, IMPLICIT_LE),
    context(5, MR, IMPLICIT_LE),
)
IDENTIFICATION = (item(IMPLEMENTATION_CLASS, "1.2.3.4"), item(IMPLEMENTATION_VERSION, "RAWSCU"))
USER = (max_length(16384), *IDENTIFICATION)


def application_context(name: bytes | str = APPLICATION_CONTEXT) -> bytes:
    return item(0x10, name)


def request(
    contexts: Iterable[bytes] = DEFAULT_CONTEXTS,
    user: Iterable[bytes] = USER,
    *,
    called: bytes = b"ANY",
    calling: bytes = b"RAWSCU",
    version: int = 1,
    application: Iterable[bytes] = (application_context(),),
    reserved: bytes = bytes(34),
    more: bytes = b"",
) -> bytes:
    """A-ASSOCIATE-RQ (PS3.8 section 9.3.2) made of items; `more` comes after its last one.

    `reserved` is the field after the version and, after two bytes, the one after the AE titles.
    """
    titles = called.ljust(16) + calling.ljust(16)
    fixed = struct.pack(">H", version) + reserved[:2] + titles + reserved[2:]
    return pdu(ASSOCIATE_RQ, b"".join((fixed, *application, *contexts, item(0x50, *user), more)))


def associate_rq(
    contexts: Sequence[tuple[str, Sequence[str]]], calling: str = "RAWSCU", called: str = "ANY", max_pdu: int = 16384
) -> bytes:
    """A-ASSOCIATE-RQ that proposes (abstract syntax, transfer syntaxes) under the context ids 1, 3, 5 ..."""
    proposed = [context(2 * index + 1, abstract, *syntaxes) for index, (abstract, syntaxes) in enumerate(contexts)]
    titles = {"called": called.encode("latin-1"), "calling": calling.encode("latin-1")}
    return request(proposed, (max_length(max_pdu), *IDENTIFICATION), **titles)


# Messages


def pdv(number: int, control: int, fragment: bytes) -> bytes:
    """Presentation data value item of a context; control 1 command, 2 last, 3 both."""
    return struct.pack(">IBB", len(fragment) + 2, number, control) + fragment


def element(number: int, value: int | str | bytes, group: int = 0) -> bytes:
    if isinstance(value, int):
        value = struct.pack("<H", value)
    elif isinstance(value, str):
        value = value.encode("latin-1")
        value += bytes(len(value) % 2)
    return struct.pack("<HHI", group, number, len(value)) + value


def command_set(elements: Command, *, as_given: bool = False) -> bytes:
    """A command set with its group length (PS3.7 section 6.3.1); `as_given` leaves the elements in their order."""
    ordered = elements.items() if as_given else sorted(elements.items())
    body = b"".join(element(number, value) for number, value in ordered)
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def store_rq(sop_class: str = CT, sop_instance: str = INSTANCE, message_id: int = 1) -> Command:
    """The elements of a C-STORE-RQ (PS3.7 table 9.3-1)."""
    return {0x0002: sop_class, 0x0100: 0x0001, 0x0110: message_id, 0x0700: 0, 0x0800: 0x0000, 0x1000: sop_instance}


def echo_rq(message_id: int = 7) -> Command:
    """The elements of a C-ECHO-RQ (PS3.7 table 9.3-12)."""
    return {0x0002: VERIFICATION, 0x0100: 0x0030, 0x0110: message_id, 0x0800: 0x0101}


STORE_RQ = store_rq(message_id=7)
ECHO_RQ = echo_rq()


def message(number: int, elements: Command, data: bytes | None = None) -> bytes:
    """A command and its data set in two P-DATA-TF of one PDV each."""
    output = pdu(P_DATA, pdv(number, 3, command_set(elements)))
    return output if data is None else output + pdu(P_DATA, pdv(number, 2, data))


def store(message_id: int = 7, data: bytes = b"data", number: int = 3) -> bytes:
    """A C-STORE of bytes that are not a data set, on the context of CT in `request()`."""
    return message(number, store_rq(message_id=message_id), data)


def echo(message_id: int = 7) -> bytes:
    """A C-ECHO on the context of Verification in `request()`."""
    return message(1, echo_rq(message_id))


def data_pdus(
    context_id: int, chunks: Iterable[bytes], *, is_command: bool, last: bool = True, max_pdu: int = 16384
) -> Iterator[bytes]:
    """P-DATA-TF PDUs of one PDV each; the chunks are consumed as they are sent, never collected.

    Without `last`, the message is left unfinished.
    """
    flag = 1 if is_command else 0
    step = max_pdu - 6
    pending: bytes | None = None
    for chunk in chunks:
        for start in range(0, len(chunk), step):
            if pending is not None:
                yield pdu(P_DATA, pdv(context_id, flag, pending))
            pending = chunk[start : start + step]
    yield pdu(P_DATA, pdv(context_id, flag | (2 if last else 0), pending or b""))


def packed(rng: random.Random, number: int, elements: Command, data: bytes, largest: int) -> bytes:
    """A C-STORE cut into PDVs at random, these put into PDUs at random; empty and single-byte fragments included."""
    pdvs = []
    for kind, part in ((1, command_set(elements)), (0, data)):
        cuts = sorted(rng.randint(0, len(part)) for _ in range(rng.randint(0, 6)))
        fragments = [part[start:end] for start, end in zip([0, *cuts], [*cuts, len(part)], strict=True)]
        room = largest - 6
        fragments = [
            fragment[start : start + room] for fragment in fragments for start in range(0, max(len(fragment), 1), room)
        ]
        pdvs += [pdv(number, kind, fragment) for fragment in fragments[:-1]]
        pdvs.append(pdv(number, kind | 2, fragments[-1]))
    stream, body = b"", b""
    for value in pdvs:
        if body and (len(body) + len(value) > largest or rng.random() < 0.5):
            stream += pdu(P_DATA, body)
            body = b""
        body += value
    return stream + pdu(P_DATA, body)


# Reading what is answered


def read_pdus(stream: bytes) -> list[tuple[int, bytes]]:
    """(type, body) of the PDUs in `stream`, which holds nothing else."""
    found = []
    while stream:
        kind, length = struct.unpack_from(">BxI", stream)
        assert len(stream) >= 6 + length, "the last PDU is not complete"
        found.append((kind, stream[6 : 6 + length]))
        stream = stream[6 + length :]
    return found


def read_items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, value) of items or sub-items."""
    while data:
        kind, length = struct.unpack_from(">BxH", data)
        assert len(data) >= 4 + length
        yield kind, data[4 : 4 + length]
        data = data[4 + length :]


def read_pdvs(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(context id, control, fragment) of the PDVs in the body of a P-DATA-TF."""
    while body:
        length, number, control = struct.unpack_from(">IBB", body)
        assert len(body) >= 4 + length
        yield number, control, body[6 : 4 + length]
        body = body[4 + length :]


def accepted(body: bytes) -> dict[int, tuple[int, str]]:
    """Presentation context results in the body of an A-ASSOCIATE-AC: id to (result, transfer syntax)."""
    found = {}
    for kind, value in read_items(body[68:]):
        if kind == 0x21:
            [(sub_item, syntax)] = read_items(value[4:])
            assert sub_item == 0x40
            found[value[0]] = (value[2], syntax.decode())
    return found


def user_items(body: bytes) -> list[tuple[int, bytes]]:
    """Sub-items of the user information item of an A-ASSOCIATE-AC."""
    [user] = [value for kind, value in read_items(body[68:]) if kind == 0x50]
    return list(read_items(user))


def parse_command(data: bytes) -> dict[int, bytes]:
    """The values of a command set by element number."""
    found: dict[int, bytes] = {}
    while data:
        group, number, length = struct.unpack_from("<HHI", data)
        assert group == 0, f"group {group:04x} in a command set"
        assert number not in found and len(data) >= 8 + length
        found[number] = data[8 : 8 + length]
        data = data[8 + length :]
    return found


def read_commands(stream: bytes) -> list[tuple[int, dict[int, bytes]]]:
    """Command sets in P-DATA-TFs, each (context id, values by element number); fragments are put together."""
    found, collected = [], b""
    for kind, body in read_pdus(stream):
        assert kind == P_DATA
        for number, control, fragment in read_pdvs(body):
            assert control & 1
            collected += fragment
            if control & 2:
                found.append((number, parse_command(collected)))
                collected = b""
    assert not collected
    return found


def statuses(stream: bytes) -> list[tuple[int, int, int, int]]:
    """(context id, command field, message id, status) of each response in `stream`."""
    return [
        (number, *(int.from_bytes(elements[tag], "little") for tag in (0x0100, 0x0120, 0x0900)))  # type: ignore[misc]
        for number, elements in read_commands(stream)
    ]


def status_of(response: dict[int, bytes]) -> int | None:
    """The status of a response; None if it has none."""
    return int.from_bytes(response[0x0900], "little") if 0x0900 in response else None
