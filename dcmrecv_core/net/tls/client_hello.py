"""The first TLS record of a connection, looked at without being read (RFC 8446 section 5.1).

Only the lengths matter here: a connection costs no worker until a whole ClientHello can be answered. What it says is
for OpenSSL, in the worker.
"""

from __future__ import annotations

from dcmrecv_core.api.errors import RemoteProtocolError

HEADER_LENGTH = 5
_HANDSHAKE = 22
_MAJOR_VERSION = 3
_LONGEST = 1 << 14
_HTTP = (b"GET ", b"POST", b"HEAD", b"PUT ")


def is_handshake(head: bytes | bytearray) -> bool:
    """Whether a stream that begins with `head` can be TLS: no DICOM PDU and no text begins so."""
    return head[:1] in (b"", bytes([_HANDSHAKE])) and head[1:2] in (b"", bytes([_MAJOR_VERSION]))


def wanted_length(head: bytes) -> int:
    """How many bytes are needed, going by the first ones: the header, then the record.

    Raises RemoteProtocolError, with OpenSSL's words, if this is no TLS.
    """
    if not is_handshake(head):
        raise RemoteProtocolError("TLS error: http request" if head[:4] in _HTTP else "TLS error: wrong version number")
    if len(head) < HEADER_LENGTH:
        return HEADER_LENGTH
    length = int.from_bytes(head[3:5])
    if not 0 < length <= _LONGEST:
        raise RemoteProtocolError("TLS error: packet length too long" if length else "TLS error: bad length")
    return HEADER_LENGTH + length


# The alert that refuses without a reason (RFC 8446 section 6): fatal, internal error. It may come before any handshake.
REFUSAL = bytes([21, _MAJOR_VERSION, 3, 0, 2, 2, 80])
