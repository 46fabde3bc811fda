"""The PROXY protocol, versions 1 and 2: a load balancer says first whose connection it passes on (`--proxy-from`).

No I/O. A header is read only from the addresses of `Proxies`; no other peer may say who it is.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from functools import lru_cache

from dcmrecv_core.net.connection import plain_address

MOST = 536
"""Bytes of the longest header that is read: what fits into the smallest TCP segment."""

_MOST_1 = 107
"""The same for version 1, end of line included."""

_BEGINNING_1 = b"PROXY "
_END_1 = b"\r\n"
_LINE = re.compile(rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})\r\n", re.A)
_UNKNOWN = b"PROXY UNKNOWN"

_BEGINNING_2 = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED_2 = 16
_LOCAL, _PROXY = 0x20, 0x21
_TCP_4, _TCP_6 = 0x11, 0x21
_ADDRESS_LENGTHS = {0x00: 0, _TCP_4: 4, _TCP_6: 16, 0x31: 108}
"""Bytes of the address of one end, by family and protocol; 0x31 is a stream of the UNIX family."""


class ProxyHeaderError(Exception):
    """The connection does not begin with a header; the text says why."""


class Proxies:
    """The addresses that have to send a header: `networks` are IPv4 and IPv6 networks in CIDR notation."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = []
        if texts := list(networks):
            from ipaddress import ip_network  # takes some milliseconds of the start

            self._networks = [ip_network(text) for text in texts]
        self._contains = lru_cache(maxsize=1024)(self._look_up)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        return bool(self._networks) and self._contains(address)

    def _look_up(self, address: str) -> bool:
        from ipaddress import ip_address

        found = ip_address(address.partition("%")[0])
        return any(found in network for network in self._networks)


def length_of(data: bytes) -> int:
    """The length of the header that `data` begins with; 0 if all of `data` belongs to it, and more has to come.

    Raises ProxyHeaderError if there is none, or a longer one than is read.
    """
    if _begins(data, _BEGINNING_2):
        if len(data) < _FIXED_2:
            return 0
        length = _FIXED_2 + int.from_bytes(data[14:16], "big")
        if length > MOST:
            raise ProxyHeaderError(f"its PROXY header has {length} bytes, more than {MOST}")
        return length if len(data) >= length else 0
    if not _begins(data, _BEGINNING_1):
        raise ProxyHeaderError("it does not begin with a PROXY header")
    line, end, _ = data[:_MOST_1].partition(_END_1)
    if not end and len(data) >= _MOST_1:
        raise ProxyHeaderError(f"its PROXY header does not end within {_MOST_1} bytes")
    return len(line) + len(end) if end else 0


def source_of(header: bytes) -> tuple[str, int] | None:
    """Address and port of the peer that a complete header names; None if it names none, as those of health checks
    (LOCAL, UNKNOWN). Raises ProxyHeaderError if it is malformed."""
    return _source_2(header) if header.startswith(_BEGINNING_2) else _source_1(header)


def _begins(data: bytes, beginning: bytes) -> bool:
    length = min(len(data), len(beginning))
    return data[:length] == beginning[:length]


def _source_1(line: bytes) -> tuple[str, int] | None:
    if line.startswith(_UNKNOWN) and line[len(_UNKNOWN) :][:1] in b" \r":
        return None
    match = _LINE.fullmatch(line)
    if match is None:
        raise ProxyHeaderError(f"its PROXY header is malformed: {line[: -len(_END_1)]!r}")
    family = socket.AF_INET if match[1] == b"TCP4" else socket.AF_INET6
    try:
        source, _ = (socket.inet_pton(family, match[number].decode()) for number in (2, 3))
    except OSError as error:
        raise ProxyHeaderError(f"its PROXY header has an invalid address: {line[: -len(_END_1)]!r}") from error
    ports = int(match[4]), int(match[5])
    if max(ports) > 0xFFFF:
        raise ProxyHeaderError(f"its PROXY header has an invalid port: {line[: -len(_END_1)]!r}")
    return _address(family, source), ports[0]


def _source_2(header: bytes) -> tuple[str, int] | None:
    command, kind = header[12], header[13]
    if command not in (_LOCAL, _PROXY):
        raise ProxyHeaderError(f"its PROXY header has version and command {command:02X}, which is unknown")
    if command == _LOCAL:
        return None
    size = _ADDRESS_LENGTHS.get(kind)
    if size is None:
        raise ProxyHeaderError(f"its PROXY header has address family and protocol {kind:02X}, which TCP does not have")
    ports = _FIXED_2 + 2 * size
    if len(header) < ports + 4 * (kind in (_TCP_4, _TCP_6)):
        raise ProxyHeaderError(f"its PROXY header has only {len(header)} bytes, too few for its addresses")
    if kind not in (_TCP_4, _TCP_6):
        return None
    family = socket.AF_INET if kind == _TCP_4 else socket.AF_INET6
    port = int.from_bytes(header[ports : ports + 2], "big")
    return _address(family, header[_FIXED_2 : _FIXED_2 + size]), port


def _address(family: socket.AddressFamily, packed: bytes) -> str:
    return plain_address(socket.inet_ntop(family, packed))
