"""Headers of the PROXY protocol."""

from __future__ import annotations

import socket
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL = SIGNATURE + b"\x20\0\0\0"


def version_1(address: str, port: int = 4711) -> bytes:
    family, to = ("TCP6", "::1") if ":" in address else ("TCP4", "127.0.0.1")
    return f"PROXY {family} {address} {to} {port} 11112\r\n".encode()


def version_2(address: str, port: int = 4711, tlvs: bytes = b"") -> bytes:
    family, kind, to = (socket.AF_INET6, 0x21, "::1") if ":" in address else (socket.AF_INET, 0x11, "127.0.0.1")
    body = socket.inet_pton(family, address) + socket.inet_pton(family, to) + struct.pack("!HH", port, 11112) + tlvs
    return SIGNATURE + struct.pack("!BBH", 0x21, kind, len(body)) + body
