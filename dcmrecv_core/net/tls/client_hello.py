"""The length of a connection's first TLS record (RFC 8446 section 5.1).

A connection occupies a worker only when its ClientHello is complete. OpenSSL reads the contents, in the worker.
"""

from __future__ import annotations

from dcmrecv_core.api.errors import RemoteProtocolError

HEADER_LENGTH = 5
_HANDSHAKE = 22
_MAJOR_VERSION = 3
_LONGEST = 1 << 14
LONGEST_RECORD = HEADER_LENGTH + _LONGEST


def is_handshake(head: bytes | bytearray) -> bool:
    """Whether a stream that begins with `head` can be TLS; no DICOM PDU and no text begins like that."""
    return head[:1] in (b"", bytes([_HANDSHAKE])) and head[1:2] in (b"", bytes([_MAJOR_VERSION]))


def wanted_length(head: bytes) -> int:
    """Number of bytes to wait for, by the first ones: first the header, then the whole record.

    Raises RemoteProtocolError with OpenSSL's text if this is not TLS.
    """
    if not is_handshake(head):
        raise RemoteProtocolError("TLS error: wrong version number", detail="neither TLS nor DICOM")
    if len(head) < HEADER_LENGTH:
        return HEADER_LENGTH
    length = int.from_bytes(head[3:5])
    if not 0 < length <= _LONGEST:
        raise RemoteProtocolError("TLS error: packet length too long" if length else "TLS error: bad length")
    return HEADER_LENGTH + length


# Fatal alert internal_error (RFC 8446 section 6), which may be sent before a handshake and names no reason.
REFUSAL = bytes([21, _MAJOR_VERSION, 3, 0, 2, 2, 80])
