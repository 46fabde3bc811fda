"""What the first bytes of a connection are, if they are no DICOM: other protocols reach the port by mistake."""

from __future__ import annotations

from dcmrecv_core.proto.associate import ae_title
from dcmrecv_core.proto.pdu import HEADER_LENGTH, PduType

MOST = 80
"""Bytes that `protocol_of` and `titles_of` look at: header and fixed part of an A-ASSOCIATE-RQ, and some more."""

_PROXY_2 = b"\r\n\r\n\0\r\nQUIT\n"
_BEGINNINGS = (
    *((method, "HTTP") for method in (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"OPTIONS ", b"CONNECT ", b"PRI * HTTP")),
    (b"PROXY ", "the PROXY protocol, version 1"),
    (_PROXY_2, "the PROXY protocol, version 2"),
    (b"SSH-", "SSH"),
    (b"\x0b", "HL7 (MLLP)"),
    (b"\x16\x03", "TLS"),
)
_LEAST = 4
"""Bytes that have to agree, where the beginning has so many: less is no evidence."""

_CALLED = slice(HEADER_LENGTH + 4, HEADER_LENGTH + 20)
_CALLING = slice(HEADER_LENGTH + 20, HEADER_LENGTH + 36)
"""Octets 11 to 42 of an A-ASSOCIATE-RQ (PS3.8 table 9-11)."""


def protocol_of(data: bytes | bytearray) -> str:
    """The protocol of a stream that begins with `data`, in words; "" if it is not known.

    The front desk stops to read after a PDU's header, so the beginning of a longer word suffices."""
    for beginning, name in _BEGINNINGS:
        length = min(len(data), len(beginning))
        if length >= min(_LEAST, len(beginning)) and data[:length] == beginning[:length]:
            return name
    return ""


def titles_of(request: bytes | bytearray) -> tuple[str, str]:
    """Calling and called AE title of an A-ASSOCIATE-RQ, of which the fixed part suffices; "" for each that is not
    there. Nothing else of the request is looked at."""
    if request[:1] != bytes([PduType.ASSOCIATE_RQ]):
        return "", ""
    return ae_title(bytes(request[_CALLING])), ae_title(bytes(request[_CALLED]))
