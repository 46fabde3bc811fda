"""Answers of a receiver, decoded for a comparison of two receivers (PS3.8 section 9.3)."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from support.protocol.pdus import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    EXTENDED,
    IMPLEMENTATION_CLASS,
    IMPLEMENTATION_VERSION,
    MAX_LENGTH,
    P_DATA,
    RELEASE_RP,
    ROLE,
    parse_command,
    read_items,
    read_pdvs,
)
from support.protocol.raw_sender import RawAssociation
from support.uids import APPLICATION_CONTEXT, IMPLICIT_LE

ContextResult = tuple[int, int, str]
"""Context id, result, transfer syntax."""

ACCEPTED: ContextResult = (1, 0, IMPLICIT_LE)


_UIDS = {0x0002, 0x1000}


class Accepted(NamedTuple):
    """A-ASSOCIATE-AC. `user` has the user information items sorted, because their order has no meaning, and without the
    values that identify the implementation."""

    contexts: tuple[ContextResult, ...] = (ACCEPTED,)
    user: tuple[tuple[Any, ...], ...] = ()
    max_length: int | None = 16384
    called: bytes = b"ANY             "
    calling: bytes = b"RAWSCU          "
    implementation: tuple[int, ...] = (IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION)
    application_context: str = APPLICATION_CONTEXT


class Rejected(NamedTuple):
    result: int
    source: int
    reason: int


class Aborted(NamedTuple):
    source: int
    reason: int


class Response(NamedTuple):
    """A response message, UIDs without padding; `lengths` are those of its fragments."""

    context_id: int
    elements: dict[int, bytes]
    lengths: tuple[int, ...]

    @property
    def status(self) -> int:
        return int.from_bytes(self.elements[0x0900], "little")


class Released(NamedTuple):
    """A-RELEASE-RP."""


class Closed(NamedTuple):
    """The connection ended without an answer."""


Answer = Accepted | Rejected | Aborted | Response | Released | Closed


def next_answer(association: RawAssociation) -> Answer:
    """The receiver's next answer; TimeoutError if it neither answers nor closes."""
    lengths: list[int] = []
    command = b""
    while True:
        kind, body = association.read_pdu()
        if kind != P_DATA:
            return _decoded(kind, body)
        for context_id, control, fragment in read_pdvs(body):
            command += fragment
            lengths.append(len(fragment))
            if control & 2:
                elements = parse_command(command)
                padded = {number: elements[number].rstrip(b"\0 ") for number in _UIDS & elements.keys()}
                return Response(context_id, elements | padded, tuple(lengths))


def _decoded(kind: int, body: bytes) -> Answer:
    if kind == ASSOCIATE_AC:
        return _accepted(body)
    if kind == ASSOCIATE_RJ:
        return Rejected(*body[1:4])
    if kind == ABORT:
        return Aborted(*body[2:4])
    if kind == RELEASE_RP:
        return Released()
    if kind:
        raise AssertionError(f"PDU {kind:02X}: {body.hex()}")
    return Closed()


def _accepted(body: bytes) -> Accepted:
    version, called, calling = struct.unpack_from(">H2x16s16s", body)
    assert version == 1
    items = list(read_items(body[68:]))
    contexts = []
    for _, value in (part for part in items if part[0] == 0x21):
        [(_, syntax)] = read_items(value[4:])
        contexts.append((value[0], value[2], syntax.decode()))
    [user] = (list(read_items(value)) for kind, value in items if kind == 0x50)
    identification = (IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION)
    return Accepted(
        contexts=tuple(contexts),
        user=tuple(sorted(_user_item(*part) for part in user if part[0] not in (MAX_LENGTH, *identification))),
        max_length=next((int.from_bytes(value, "big") for kind, value in user if kind == MAX_LENGTH), None),
        called=called,
        calling=calling,
        implementation=tuple(kind for kind, value in user if kind in identification and value),
        application_context=next(value.decode() for kind, value in items if kind == 0x10),
    )


def _user_item(kind: int, value: bytes) -> tuple[Any, ...]:
    """(kind, value); for roles and extended negotiation (kind, SOP class, values)."""
    if kind not in (ROLE, EXTENDED):
        return kind, value
    end = 2 + int.from_bytes(value[:2], "big")
    return kind, value[2:end].decode(), value[end:]
