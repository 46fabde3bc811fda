"""Bytes for the tests of the protocol core, written down field by field; nothing here uses the code under test."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Iterable, Iterator

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
INSTANCE = "1.2.3.4.5.6"

RQ, AC, RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)

Elements = dict[int, int | str | bytes]
"""Elements of group 0000 by element number; int is a US, str a UID."""


def hexa(text: str) -> bytes:
    """Hex digits, with what follows a `;` on a line as annotation."""
    return bytes.fromhex(re.sub(r";.*", "", text))


def pdu(kind: int, body: bytes) -> bytes:
    return bytes([kind, 0]) + struct.pack(">I", len(body)) + body


def item(kind: int, *parts: bytes | str) -> bytes:
    body = b"".join(part.encode("latin-1") if isinstance(part, str) else part for part in parts)
    return bytes([kind, 0]) + struct.pack(">H", len(body)) + body


def context(number: int, abstract: str | None, *transfer: str) -> bytes:
    """Presentation context item (PS3.8 section 9.3.2.2)."""
    abstracts = () if abstract is None else (item(0x30, abstract),)
    return item(0x20, bytes([number, 0, 0, 0]), *abstracts, *(item(0x40, uid) for uid in transfer))


def counted(text: bytes | str) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack(">H", len(raw)) + raw


def max_length(number: int) -> bytes:
    return item(0x51, struct.pack(">I", number))


DEFAULT_CONTEXTS = (context(1, VERIFICATION, IMPLICIT), context(3, CT, EXPLICIT, IMPLICIT), context(5, MR, IMPLICIT))
DEFAULT_USER = (max_length(16384), item(0x52, "1.2.3.4"), item(0x55, "WIRE"))


def request(
    contexts: Iterable[bytes] = DEFAULT_CONTEXTS,
    user: Iterable[bytes] = DEFAULT_USER,
    *,
    called: bytes = b"ANY",
    calling: bytes = b"WIRE",
    version: int = 1,
    application: str | None = "1.2.840.10008.3.1.1.1",
    reserved: int = 0,
) -> bytes:
    """A-ASSOCIATE-RQ (PS3.8 section 9.3.2)."""
    fixed = struct.pack(">HH", version, reserved) + called.ljust(16) + calling.ljust(16) + bytes([reserved % 256]) * 32
    first = () if application is None else (item(0x10, application),)
    return pdu(RQ, b"".join((fixed, *first, *contexts, item(0x50, *user))))


def pdv(number: int, control: int, fragment: bytes) -> bytes:
    """Presentation data value item; control 1 command, 2 last, 3 both."""
    return struct.pack(">IBB", len(fragment) + 2, number, control) + fragment


def element(number: int, value: int | str | bytes, group: int = 0) -> bytes:
    if isinstance(value, int):
        value = struct.pack("<H", value)
    elif isinstance(value, str):
        value = value.encode("latin-1")
        value += bytes(len(value) % 2)
    return struct.pack("<HHI", group, number, len(value)) + value


def command(elements: Elements) -> bytes:
    """A command set with its group length."""
    body = b"".join(element(number, value) for number, value in elements.items())
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def store_elements(message_id: int = 7, sop_class: str = CT, instance: str = INSTANCE) -> Elements:
    return {0x0002: sop_class, 0x0100: 0x0001, 0x0110: message_id, 0x0700: 0, 0x0800: 0x0000, 0x1000: instance}


def echo_elements(message_id: int = 7) -> Elements:
    return {0x0002: VERIFICATION, 0x0100: 0x0030, 0x0110: message_id, 0x0800: 0x0101}


def message(number: int, elements: Elements, data: bytes | None = None) -> bytes:
    """A command and its data set in two P-DATA-TF of one PDV each."""
    output = pdu(P_DATA, pdv(number, 3, command(elements)))
    return output if data is None else output + pdu(P_DATA, pdv(number, 2, data))


def store(message_id: int = 7, data: bytes = b"data", number: int = 3) -> bytes:
    return message(number, store_elements(message_id), data)


def packed(rng: random.Random, number: int, elements: Elements, data: bytes, largest: int) -> bytes:
    """A C-STORE cut into PDVs at random, these put into PDUs at random; empty and single-byte fragments included."""
    pdvs = []
    for kind, part in ((1, command(elements)), (0, data)):
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


def echo(message_id: int = 7) -> bytes:
    return message(1, echo_elements(message_id))


def release_rq() -> bytes:
    return hexa("05 00 00000004 00000000")


def abort(source: int, reason: int) -> bytes:
    return hexa("07 00 00000004 0000") + bytes([source, reason])


# Reading what we are answered


def pdus(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, body) of the PDUs in `stream`, which holds nothing else."""
    while stream:
        kind, length = struct.unpack_from(">BxI", stream)
        assert len(stream) >= 6 + length
        yield kind, stream[6 : 6 + length]
        stream = stream[6 + length :]


def items(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        kind, length = struct.unpack_from(">BxH", data)
        assert len(data) >= 4 + length
        yield kind, data[4 : 4 + length]
        data = data[4 + length :]


def results(accept: bytes) -> dict[int, tuple[int, str]]:
    """Presentation context results of the body of an A-ASSOCIATE-AC: id to (result, transfer syntax)."""
    found = {}
    for kind, value in items(accept[68:]):
        if kind == 0x21:
            [(sub_item, syntax)] = items(value[4:])
            assert sub_item == 0x40
            found[value[0]] = (value[2], syntax.decode())
    return found


def user_items(accept: bytes) -> list[tuple[int, bytes]]:
    """Sub-items of the user information item of an A-ASSOCIATE-AC."""
    [user] = [value for kind, value in items(accept[68:]) if kind == 0x50]
    return list(items(user))


def commands(stream: bytes) -> list[tuple[int, dict[int, bytes]]]:
    """Command sets in P-DATA-TFs, each (context id, values by element number); fragments are put together."""
    found, collected = [], b""
    for kind, body in pdus(stream):
        assert kind == P_DATA
        for number, control, fragment in pdvs(body):
            assert control & 1
            collected += fragment
            if control & 2:
                found.append((number, elements_of(collected)))
                collected = b""
    assert not collected
    return found


def pdvs(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    while body:
        length, number, control = struct.unpack_from(">IBB", body)
        assert len(body) >= 4 + length
        yield number, control, body[6 : 4 + length]
        body = body[4 + length :]


def elements_of(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while data:
        group, number, length = struct.unpack_from("<HHI", data)
        assert group == 0 and number not in found and len(data) >= 8 + length
        found[number] = data[8 : 8 + length]
        data = data[8 + length :]
    return found


def statuses(stream: bytes) -> list[tuple[int, int, int, int]]:
    """(context id, command field, message id, status) of each response in `stream`."""
    return [
        (number, *(int.from_bytes(elements[tag], "little") for tag in (0x0100, 0x0120, 0x0900)))  # type: ignore[misc]
        for number, elements in commands(stream)
    ]
