"""Association requests for rows, invalid ones too (PS3.8 section 9.3.2, PS3.7 annex D.3.3)."""

from __future__ import annotations

from typing import Any

from support.protocol import pdus
from support.protocol.pdus import EXTENDED, IDENTITY, ROLE, USER, counted, item
from support.uids import IMPLICIT_LE, VERIFICATION


def abstract_syntax(uid: str | bytes) -> bytes:
    return item(0x30, uid)


def transfer_syntax(uid: str | bytes) -> bytes:
    return item(0x40, uid)


def context_of(number: int, *items: bytes) -> bytes:
    """A presentation context item made of the given items."""
    return item(0x20, bytes([number, 0, 0, 0]), *items)


def context(number: int, abstract: str | bytes, *transfer: str | bytes) -> bytes:
    """A presentation context; implicit little endian unless something else is proposed."""
    return pdus.context(number, abstract, *(transfer or (IMPLICIT_LE,)))


def role(sop_class: str | bytes, scu: int, scp: int) -> bytes:
    return item(ROLE, counted(sop_class), bytes([scu, scp]))


def extended(sop_class: str, information: bytes) -> bytes:
    return item(EXTENDED, counted(sop_class), information)


def identity(kind: int, *, response: bool, primary: str = "jane", secondary: str = "") -> bytes:
    return item(IDENTITY, bytes([kind, response]), counted(primary), counted(secondary))


ECHO = (context(1, VERIFICATION),)


def request(*contexts: bytes, reserved: bytes = bytes(32), **fields: Any) -> bytes:
    """`pdus.request` that proposes Verification unless told otherwise; `reserved` is the field after the AE titles."""
    return pdus.request(contexts or ECHO, reserved=bytes(2) + reserved, **fields)


def request_of(*items: bytes) -> bytes:
    """An A-ASSOCIATE-RQ made of the given items."""
    fixed = b"\0\1\0\0" + b"ANY".ljust(16) + b"RAWSCU".ljust(16) + bytes(32)
    return pdus.pdu(pdus.ASSOCIATE_RQ, fixed + b"".join(items))


def asking(*user: bytes) -> bytes:
    """A request for Verification with these user information items beside the usual ones."""
    return request(user=(*USER, *user))
