"""A connection as the session sees it: a few calls that never block for longer than `PATIENCE`.

Between two calls the session looks at its deadlines, the stop flag and its parent. After a signal Python resumes an
interrupted call, so only the socket's own time-out ends one.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from typing import Protocol

PATIENCE = 0.5
"""Seconds that a call may block."""

LINGER = 0.1
"""Seconds to wait for the peer to close first (the ARTIM timer of state 13); the original waits up to 180."""

LOOKS = 32
"""How often to look for bytes before waiting for them, some 40 microseconds in all, if the last wait was short. A
sender on a fast network is about to send the next request; to sleep and to be woken takes longer than it needs, and
costs what is in the processor's caches."""

SHORT_WAIT = 100e-6
"""Seconds of waiting after which looking is worth while."""

_TIMEVAL = struct.Struct("@ll")


class Connection(Protocol):
    """What a session needs of a transport (plain TCP here; TLS offers the same).

    `peer_subject` is whom the peer's certificate names, None if it has shown none.
    """

    peer_subject: str | None

    def receive_into(self, view: memoryview) -> int | None:
        """Bytes read, 0 at the end of the stream, None if nothing came within PATIENCE. Raises OSError."""

    def acknowledge(self) -> None:
        """Let the peer know at once what has arrived, where the transport would wait for something to send."""

    def send(self, data: bytes | bytearray) -> int:
        """Bytes taken without waiting, 0 if none. Raises OSError."""

    def wait(self) -> tuple[bool, bool]:
        """Wait until something can be read or sent, at most PATIENCE; which of the two it is."""

    def wait_writable(self) -> bool:
        """Wait until something can be sent, at most PATIENCE; whether it can."""

    def wait_readable(self, seconds: float) -> bool:
        """Wait until something can be read; whether it can."""

    def finish(self, seconds: float = LINGER) -> None:
        """Shut the sending side down, give the peer `seconds` to close first, close."""


class PlainConnection:
    """TCP without TLS."""

    peer_subject: str | None = None

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        sock.setblocking(True)
        patience = _TIMEVAL.pack(0, int(PATIENCE * 1e6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
        self._receive = sock.recv_into
        self._looks = 0

    def receive_into(self, view: memoryview) -> int | None:
        for _ in range(self._looks):
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
            self._looks = LOOKS if time.monotonic() - began < SHORT_WAIT else 0

    def acknowledge(self) -> None:
        # A sender with Nagle's algorithm on (every DCMTK tool as shipped) sends a PDU's header and holds the rest back
        # until that is acknowledged, which takes the kernel 40 ms. The option holds for one acknowledgement only.
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


def poll(sock: socket.socket, events: int, seconds: float = PATIENCE) -> int:
    """What has happened within `seconds`, errors and the end of the stream included."""
    poller = select.poll()
    poller.register(sock, events)
    return next((happened for _, happened in poller.poll(max(seconds, 0) * 1000)), 0)


def close(sock: socket.socket, seconds: float) -> None:
    """Shut the sending side down, give the peer `seconds` to close first, close."""
    try:
        sock.shutdown(socket.SHUT_WR)
        _drain(sock, time.monotonic() + seconds)
    except OSError:
        pass  # the peer was faster
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
