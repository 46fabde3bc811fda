"""A TLS connection, from the handshake on. As with plain TCP, no call blocks for longer than `CALL_TIMEOUT`."""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress

from dcmrecv_core.net.connection import CALL_TIMEOUT, LINGER, close, poll

HANDSHAKE_WAIT = 0.1
"""Seconds until `should_stop` is asked again in a handshake: somebody may wait for its place."""

_LARGEST_RECORD = 16384
_SHORT_NAMES = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
_SPECIAL = ',+"\\<>;='


class TlsConnection:
    """A socket wrapped in TLS. Call `shake_hands` first.

    The constructor sends and receives nothing; it raises OSError if the connection has ended.
    """

    peer_subject: str | None = None

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.waited = 0.0
        sock.setblocking(False)
        self._sock = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self._receive = self._sock.recv_into

    def shake_hands(self, deadline: float, should_stop: Callable[[float], bool]) -> None:
        """Negotiate until the monotonic time `deadline`.

        `should_stop` is asked before each wait, with the time since when the peer has sent nothing. Raises TimeoutError
        when the deadline has passed or `should_stop` returns True, and OSError (`ssl.SSLError`) otherwise.
        """
        silent_since = time.monotonic()
        while True:
            try:
                self._sock.do_handshake()
                break
            except ssl.SSLWantReadError:
                events = select.POLLIN
            except ssl.SSLWantWriteError:
                events = select.POLLOUT
            left = deadline - time.monotonic()
            if left <= 0 or should_stop(silent_since):
                raise TimeoutError
            if poll(self._sock, events, min(left, HANDSHAKE_WAIT)):
                silent_since = time.monotonic()
        certificate = self._sock.getpeercert()
        if certificate:
            self.peer_subject = subject_text(certificate["subject"])

    def receive_into(self, view: memoryview) -> int | None:
        began = None
        while True:
            try:
                count = self._receive(view)
            except ssl.SSLWantReadError:  # no whole record yet
                now = time.monotonic()
                began = now if began is None else began
                left = began + CALL_TIMEOUT - now
                if left > 0 and poll(self._sock, select.POLLIN, left):
                    continue
                count = None
            if began is not None:
                self.waited += time.monotonic() - began
            return count

    def acknowledge(self) -> None:
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def send(self, data: bytes | bytearray) -> int:
        # after OpenSSL could not send, it has to get the same bytes again: offer one record at a time
        with memoryview(data) as view, view[:_LARGEST_RECORD] as record:
            try:
                return self._sock.send(record)
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return 0

    def wait(self) -> tuple[bool, bool]:
        if self._sock.pending():
            return True, False
        events = poll(self._sock, select.POLLIN | select.POLLOUT)
        return bool(events & ~select.POLLOUT), bool(events & select.POLLOUT)

    def wait_writable(self) -> bool:
        return bool(poll(self._sock, select.POLLOUT))

    def wait_readable(self, seconds: float) -> bool:
        return bool(self._sock.pending() or poll(self._sock, select.POLLIN, seconds))

    def finish(self, seconds: float = LINGER) -> None:
        with suppress(OSError, ValueError):  # the peer's close_notify is not awaited; there may have been no handshake
            self._sock.unwrap()  # sends close_notify, which distinguishes the end from a cut
        close(self._sock, seconds)


def subject_text(subject: object) -> str:
    """The subject from `getpeercert` in the form of RFC 4514: `CN=ct1,O=Hospital`, the most specific part first."""
    names = []
    for relative in subject if isinstance(subject, tuple) else ():
        names.append("+".join(f"{_SHORT_NAMES.get(kind, kind)}={_escaped(value)}" for kind, value in relative))
    return ",".join(reversed(names))


def _escaped(value: str) -> str:
    text = "".join("\\" + char if char in _SPECIAL else char if char.isprintable() else _in_hex(char) for char in value)
    if text[:1] in (" ", "#"):
        text = "\\" + text
    return text[:-1] + "\\ " if text.endswith(" ") and len(value) > 1 else text


def _in_hex(char: str) -> str:
    return "".join(f"\\{byte:02X}" for byte in char.encode("utf-8", "replace"))
