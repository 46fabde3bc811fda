"""A connection as the session sees it. No call blocks for longer than `CALL_TIMEOUT`.

Between two calls the session checks its deadlines, the stop flag and whether its parent lives. After a signal Python
resumes the interrupted call, so only the socket's own timeout ends it.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from typing import Protocol

CALL_TIMEOUT = 0.5
"""Seconds that a call may block."""

LINGER = 0.1
"""Seconds to wait for the peer to close first (ARTIM timer of state 13); DCMTK waits up to 180."""

BUSY_READS = 32
"""Non-blocking reads before a blocking one, some 40 microseconds in all, if the last wait was short. On a fast
network the next request arrives before a sleeping process could be woken, and sleep costs it its processor caches."""

SHORT_WAIT = 100e-6
"""A wait of fewer seconds is short."""

_TIMEVAL = struct.Struct("@ll")


class Connection(Protocol):
    """The calls that a session needs, the same for plain TCP and TLS.

    `peer_subject` is the subject of the peer's certificate, None without a certificate. `waited`: seconds that calls of
    `receive_into` have waited, in all.
    """

    peer_subject: str | None
    waited: float

    def receive_into(self, view: memoryview) -> int | None:
        """Read: number of bytes, 0 at the end of the stream, None if none arrived in time. Raises OSError."""

    def acknowledge(self) -> None:
        """Acknowledge received bytes at once, where TCP would delay the acknowledgement."""

    def send(self, data: bytes | bytearray) -> int:
        """Send without waiting: number of bytes sent, perhaps 0. Raises OSError."""

    def wait(self) -> tuple[bool, bool]:
        """Wait until the connection is readable or writable; returns (readable, writable)."""

    def wait_writable(self) -> bool:
        """Wait until the connection is writable; returns whether it is."""

    def wait_readable(self, seconds: float) -> bool:
        """Wait at most `seconds` until the connection is readable; returns whether it is."""

    def finish(self, seconds: float = LINGER) -> None:
        """Shut down the sending side, wait at most `seconds` for the peer to close, then close."""


class PlainConnection:
    """TCP without TLS."""

    peer_subject: str | None = None

    def __init__(self, sock: socket.socket) -> None:
        self.waited = 0.0
        self._sock = sock
        sock.setblocking(True)
        patience = _TIMEVAL.pack(0, int(CALL_TIMEOUT * 1e6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
        self._receive = sock.recv_into
        self._busy_reads = 0

    def receive_into(self, view: memoryview) -> int | None:
        for _ in range(self._busy_reads):
            try:
                return self._receive(view, 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
        began = time.monotonic()
        try:
            return self._receive(view)
        except BlockingIOError:
            return None
        finally:
            waited = time.monotonic() - began
            self.waited += waited
            self._busy_reads = BUSY_READS if waited < SHORT_WAIT else 0

    def acknowledge(self) -> None:
        # A sender that uses Nagle's algorithm (every DCMTK tool as shipped) sends a PDU's header and keeps the rest
        # until the header is acknowledged; the kernel delays that by 40 ms. The option holds for one acknowledgement.
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def send(self, data: bytes | bytearray) -> int:
        try:
            return self._sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0

    def wait(self) -> tuple[bool, bool]:
        events = poll(self._sock, select.POLLIN | select.POLLOUT)
        return bool(events & ~select.POLLOUT), bool(events & select.POLLOUT)

    def wait_writable(self) -> bool:
        return bool(poll(self._sock, select.POLLOUT))

    def wait_readable(self, seconds: float) -> bool:
        return bool(poll(self._sock, select.POLLIN, seconds))

    def finish(self, seconds: float = LINGER) -> None:
        close(self._sock, seconds)


def poll(sock: socket.socket, events: int, seconds: float = CALL_TIMEOUT) -> int:
    """Wait at most `seconds` for `events`; returns those that occurred, errors and the end of the stream included."""
    poller = select.poll()
    poller.register(sock, events)
    return next((happened for _, happened in poller.poll(max(seconds, 0) * 1000)), 0)


def close(sock: socket.socket, seconds: float) -> None:
    """Shut down the sending side, wait at most `seconds` for the peer to close, then close."""
    try:
        sock.shutdown(socket.SHUT_WR)
        _drain(sock, time.monotonic() + seconds)
    except OSError:
        pass  # the peer has closed already
    finally:
        sock.close()


def _drain(sock: socket.socket, deadline: float) -> None:
    """Read until the peer's FIN: closing with unread data would reset the connection and lose our last PDU."""
    while (left := deadline - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            if not sock.recv(65536):
                return
        except TimeoutError:
            return


def plain_address(address: str) -> str:
    """10.0.0.1 for ::ffff:10.0.0.1, the address of an IPv4 peer on a socket for both IP versions."""
    mapped = address.removeprefix("::ffff:")
    return mapped if "." in mapped and ":" not in mapped else address
