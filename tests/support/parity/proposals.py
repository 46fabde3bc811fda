"""Association requests as bytes, also those that no sender should send (PS3.8 section 9.3.2, PS3.7 annex D.3.3)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from support.protocol.raw_sender import APPLICATION_CONTEXT, ASSOCIATE_RQ, IMPLICIT_LE, VERIFICATION, item, pdu

MAX_LENGTH, IMPLEMENTATION_CLASS, WINDOW, ROLE, IMPLEMENTATION_VERSION, EXTENDED = range(0x51, 0x57)
COMMON_EXTENDED, IDENTITY = 0x57, 0x58


def max_length(value: int) -> bytes:
    return item(MAX_LENGTH, struct.pack(">I", value))


IDENTIFICATION = (item(IMPLEMENTATION_CLASS, b"1.2.3.4"), item(IMPLEMENTATION_VERSION, b"RAWSCU"))
USER = (max_length(16384), *IDENTIFICATION)


def _bytes(uid: str | bytes) -> bytes:
    return uid.encode() if isinstance(uid, str) else uid


def abstract_syntax(uid: str | bytes) -> bytes:
    return item(0x30, _bytes(uid))


def transfer_syntax(uid: str | bytes) -> bytes:
    return item(0x40, _bytes(uid))


def context_of(number: int, *items: bytes) -> bytes:
    """A presentation context item made of any items."""
    return item(0x20, bytes([number, 0, 0, 0]), *items)


def context(number: int, abstract: str | bytes, *transfer: str | bytes) -> bytes:
    """A presentation context; implicit little endian unless something else is proposed."""
    return context_of(number, abstract_syntax(abstract), *map(transfer_syntax, transfer or (IMPLICIT_LE,)))


def counted(text: str | bytes) -> bytes:
    """A field with a 16-bit length before it."""
    return struct.pack(">H", len(text)) + _bytes(text)


def role(sop_class: str | bytes, scu: int, scp: int) -> bytes:
    return item(ROLE, counted(sop_class), bytes([scu, scp]))


def extended(sop_class: str, information: bytes) -> bytes:
    return item(EXTENDED, counted(sop_class), information)


def identity(kind: int, *, response: bool, primary: str = "jane", secondary: str = "") -> bytes:
    return item(IDENTITY, bytes([kind, response]), counted(primary), counted(secondary))


def application_context(name: str | bytes = APPLICATION_CONTEXT) -> bytes:
    return item(0x10, _bytes(name))


ECHO = (context(1, VERIFICATION),)


def request(
    *contexts: bytes,
    called: bytes = b"ANY",
    calling: bytes = b"RAWSCU",
    version: int = 1,
    application: Sequence[bytes] = (application_context(),),
    user: Sequence[bytes] = USER,
    more: bytes = b"",
    reserved: bytes = bytes(32),
) -> bytes:
    """A whole A-ASSOCIATE-RQ that proposes Verification unless told otherwise; `more` comes behind its last item."""
    fixed = struct.pack(">H2x", version) + called.ljust(16) + calling.ljust(16) + reserved
    return pdu(ASSOCIATE_RQ, b"".join((fixed, *application, *(contexts or ECHO), item(0x50, *user), more)))


def request_of(*items: bytes) -> bytes:
    """An A-ASSOCIATE-RQ made of any items."""
    return pdu(ASSOCIATE_RQ, b"\0\1\0\0" + b"ANY".ljust(16) + b"RAWSCU".ljust(16) + bytes(32) + b"".join(items))


def asking(*user: bytes) -> bytes:
    """A request for Verification with these user information items beside the usual ones."""
    return request(user=(*USER, *user))
