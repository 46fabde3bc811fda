"""PDU types, headers and the PDUs of fixed size (PS3.8 section 9.3).

Every PDU: octet 1 type, octet 2 reserved, octets 3-6 length of what follows, big endian.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from dcmrecv_core.api.errors import RemoteProtocolError

HEADER = Struct(">BxI")
HEADER_LENGTH = HEADER.size

PDV_HEADER = Struct(">IBB")
"""Presentation data value item (section 9.3.5.1, annex E.2): length, context id, message control header."""

_BOTH_HEADERS = Struct(">BxIIBB")

PDV_OVERHEAD = 6
COMMAND_BIT = 1
LAST_BIT = 2

MIN_REQUEST_LENGTH = 68
"""Fixed part of an A-ASSOCIATE-RQ (octets 7-74)."""

MAX_REQUEST_LENGTH = 1 << 20
"""Default. 128 contexts with 38 transfer syntaxes each have about 150 KB; user identity tokens may be large."""

SMALL_LENGTH = 4
"""Body of A-ASSOCIATE-RJ, A-RELEASE-RQ, A-RELEASE-RP and A-ABORT."""


class PduType:
    """PDU types (sections 9.3.2 to 9.3.8)."""

    ASSOCIATE_RQ = 0x01
    ASSOCIATE_AC = 0x02
    ASSOCIATE_RJ = 0x03
    P_DATA_TF = 0x04
    RELEASE_RQ = 0x05
    RELEASE_RP = 0x06
    ABORT = 0x07


class Rejection(NamedTuple):
    """A-ASSOCIATE-RJ (section 9.3.4): result 1 permanent, 2 transient; source; reason."""

    result: int
    source: int
    reason: int


class PeerAborted(RemoteProtocolError):
    """An A-ABORT where a request was expected: close without an answer (PS3.8 action AA-2)."""


_RJ = Struct(">BxIxBBB")
_ABORT = Struct(">BxIxxBB")
_RELEASE = Struct(">BxI4x")


def check_request_header(header: bytes, longest: int = MAX_REQUEST_LENGTH) -> int:
    """The body length of an A-ASSOCIATE-RQ from its first 6 bytes.

    Raises RemoteProtocolError (abort 0/0: PS3.8 action AA-1; PeerAborted for an A-ABORT) for any other PDU and for
    lengths out of bounds, before anything is allocated.
    """
    kind, length = HEADER.unpack(header)
    if kind != PduType.ASSOCIATE_RQ:
        known = PduType.ASSOCIATE_RQ <= kind <= PduType.ABORT
        text = f"A-ASSOCIATE-RQ expected, not PDU type {kind:02x}" if known else f"Unrecognized PDU type: {kind:02x}"
        raise (PeerAborted if kind == PduType.ABORT else RemoteProtocolError)(text, source=0)
    check_request_length(length, longest)
    return int(length)


def check_request_length(length: int, longest: int = MAX_REQUEST_LENGTH) -> None:
    """Raises RemoteProtocolError unless an A-ASSOCIATE-RQ body may have this length."""
    if not MIN_REQUEST_LENGTH <= length <= longest:
        raise RemoteProtocolError(f"A-ASSOCIATE-RQ has an impossible length of {length}", source=0)


def encode_associate_rj(result: int, source: int, reason: int) -> bytes:
    """A-ASSOCIATE-RJ (section 9.3.4)."""
    return _RJ.pack(PduType.ASSOCIATE_RJ, SMALL_LENGTH, result, source, reason)


def encode_abort(source: int, reason: int) -> bytes:
    """A-ABORT (section 9.3.8)."""
    return _ABORT.pack(PduType.ABORT, SMALL_LENGTH, source, reason)


def encode_release_rp() -> bytes:
    """A-RELEASE-RP (section 9.3.7)."""
    return _RELEASE.pack(PduType.RELEASE_RP, SMALL_LENGTH)


def encode_message(context_id: int, data: bytes, max_length: int, *, command: bool) -> bytes:
    """A command or data set as P-DATA-TF PDUs of one PDV each, none longer than the peer's `max_length` (0: no limit).

    Fragments have even lengths (PS3.8 annex E.1), even if `max_length` is odd.
    """
    room = (max_length - PDV_OVERHEAD) & ~1 if max_length else len(data)
    kind = COMMAND_BIT if command else 0
    if len(data) <= room:
        length = len(data) + 2
        return _BOTH_HEADERS.pack(PduType.P_DATA_TF, length + 4, length, context_id, kind | LAST_BIT) + data
    parts: list[bytes] = []
    for start in range(0, len(data), room):
        fragment = data[start : start + room]
        control = kind | (LAST_BIT if start + room >= len(data) else 0)
        parts.append(HEADER.pack(PduType.P_DATA_TF, len(fragment) + PDV_OVERHEAD))
        parts.append(PDV_HEADER.pack(len(fragment) + 2, context_id, control))
        parts.append(fragment)
    return b"".join(parts)
