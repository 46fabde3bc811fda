"""The front desk: accepts connections and reads each A-ASSOCIATE-RQ to its end, without ever blocking.

Only a connection with a complete request costs a worker, so silent and slow peers cost a descriptor each and nobody's
time. It reads exactly 6 + length bytes; what follows belongs to the worker.
"""

from __future__ import annotations

import logging
import selectors
import socket
from collections import Counter, OrderedDict
from collections.abc import Callable

from dcmrecv_core.api.errors import RemoteProtocolError
from dcmrecv_core.net.connection import LINGER
from dcmrecv_core.net.handover import Handover
from dcmrecv_core.net.hostnames import at_once
from dcmrecv_core.net.supervisor.listener import plain_address
from dcmrecv_core.net.tls.client_hello import HEADER_LENGTH, is_handshake, wanted_length
from dcmrecv_core.net.worker.association_log import connection_only, not_requested
from dcmrecv_core.proto import pdu

log = logging.getLogger("dcmrecv.net")

MAX_VISITORS = 512
"""Half-open connections in all; beyond, the oldest one goes."""

MAX_VISITORS_PER_PEER = 256
"""The same for one address, so that one flood leaves room for the others."""

MAX_BYTES = 32 << 20
"""Of incomplete requests together; beyond, the longest one goes. Nearly all have less than a kilobyte in all."""

ACCEPT_PAUSE = 0.5
"""Seconds between two tries to accept when the system refuses, for want of descriptors as a rule."""

_TLS_UNEXPECTED = "a TLS handshake, but TLS is not enabled here (--enable-tls)"
_ACCEPTS_PER_WAKE = 64
_CHUNK = 65536


class Visitor:
    """A connection whose request is not complete, or (`leaving`) one that waits for the peer to close.

    `data` grows as bytes come, whatever length the peer declares; `wanted` is where to stop reading, `counted` how
    much of it stays with us. With `tls` it stays empty, and `awaited` is the number of bytes that the kernel waits for
    before it wakes us.
    """

    __slots__ = ("address", "awaited", "counted", "data", "deadline", "leaving", "port", "sock", "tls", "wanted")

    def __init__(self, sock: socket.socket, address: str, port: int, deadline: float, tls: bool = False) -> None:
        self.sock = sock
        self.address = address
        self.port = port
        self.deadline = deadline
        self.data = bytearray()
        self.counted = 0
        self.wanted = pdu.HEADER_LENGTH
        self.leaving = False
        self.tls = tls
        self.awaited = 0


class FrontDesk:
    """All half-open connections. `admit` gets each complete request; the supervisor owns loop and clock.

    `seconds` is the time that the next connections have for their request, `max_request` the bytes that it may have
    behind its header; with `tls` they come with TLS. `hides_names` is `-dhl`.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        listeners: list[socket.socket],
        seconds: float,
        admit: Callable[[Handover], None],
    ) -> None:
        self._selector = selector
        self._listeners = listeners
        self.seconds = seconds
        self.max_request = pdu.MAX_REQUEST_LENGTH
        self.tls = False
        self.hides_names = False
        self._admit = admit
        self._visitors: OrderedDict[int, Visitor] = OrderedDict()
        self._per_peer: Counter[str] = Counter()
        self._bytes = 0
        self._accepting = False
        self._resume_at = 0.0
        self._resume()

    def _resume(self) -> None:
        for listener in self._listeners:
            self._selector.register(listener, selectors.EVENT_READ, self.accept)
        self._accepting = True

    def _pause(self) -> None:
        """Leave new connections in the kernel's queue."""
        for listener in self._listeners:
            self._selector.unregister(listener)
        self._accepting = False

    def close(self) -> None:
        """Stop listening and drop everybody who has no complete request yet."""
        if self._accepting:
            self._pause()
        for listener in self._listeners:
            listener.close()
        for visitor in list(self._visitors.values()):
            self._drop(visitor)

    def abandon(self) -> None:
        """In a forked worker: close what belongs to the supervisor, or peers would never see us close."""
        for listener in self._listeners:
            listener.close()
        for visitor in self._visitors.values():
            visitor.sock.close()

    def accept(self, listener: socket.socket, now: float) -> None:
        """Take what is in the kernel's queue, a bounded number at a time."""
        for _ in range(_ACCEPTS_PER_WAKE):
            try:
                sock, (address, port, *_rest) = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("cannot accept connections: %s; trying again soon", error.strerror)
                self._pause()
                self._resume_at = now + ACCEPT_PAUSE
                return
            self.welcome(sock, plain_address(address), port, now)

    def welcome(self, sock: socket.socket, address: str, port: int, now: float) -> None:
        """A new connection. With most comes the request; who keeps it waiting becomes a visitor."""
        log.debug("Association Received: %s", address)
        visitor = Visitor(sock, address, port, now + self.seconds, self.tls)
        if visitor.tls:
            self._stay(visitor)
        self._read(visitor, now)

    def say_goodbye(self, handover: Handover, now: float, answer: bytes) -> None:
        """Send a last PDU, then wait a moment for the peer to close, so that it can read it."""
        visitor = self._enter(Visitor(handover.sock, handover.address, handover.port, now))
        self._leave(visitor, now, answer)

    def on_readable(self, sock: socket.socket, now: float) -> None:
        """More of a request, or the end of a connection."""
        visitor = self._visitors[sock.fileno()]
        if visitor.leaving:
            self._discard_input(visitor)
        else:
            self._read(visitor, now)

    def tick(self, now: float) -> float | None:
        """Drop whose time is over; seconds until the next one's is, None if nobody is here."""
        if not self._accepting and now >= self._resume_at:
            self._resume()
        if not self._visitors:
            return None
        for visitor in [visitor for visitor in self._visitors.values() if visitor.deadline <= now]:
            if visitor.leaving:
                self._drop(visitor)
            else:
                not_requested(visitor.address, "DUL network read timeout")
                self._leave(visitor, now, b"")
        return min((visitor.deadline - now for visitor in self._visitors.values()), default=None)

    def _read(self, visitor: Visitor, now: float) -> None:
        """Read on to the end of the request, and not a byte further."""
        data = visitor.data
        try:
            if visitor.tls:
                self._look(visitor)
                return
            while len(data) < visitor.wanted:
                chunk = visitor.sock.recv(min(visitor.wanted - len(data), _CHUNK), socket.MSG_DONTWAIT)
                if not chunk:
                    if len(data) < pdu.HEADER_LENGTH:
                        connection_only(visitor.address if self.hides_names else at_once(visitor.address))
                    else:
                        not_requested(visitor.address, "DUL network closed")
                    self._drop(visitor)
                    return
                data += chunk
                if len(data) == pdu.HEADER_LENGTH:
                    visitor.wanted += pdu.check_request_header(bytes(data), self.max_request)
        except BlockingIOError:
            self._stay(visitor)
            return
        except OSError as error:
            not_requested(visitor.address, error.strerror or str(error))
            self._drop(visitor)
            return
        except RemoteProtocolError as error:
            detail = _TLS_UNEXPECTED if not visitor.tls and is_handshake(data) else error.detail
            not_requested(visitor.address, str(error), detail)
            silent = visitor.tls or isinstance(error, pdu.PeerAborted)
            self._stay(visitor)
            self._leave(visitor, now, b"" if silent else pdu.encode_abort(error.source, error.reason))
            return
        self._forget(visitor)
        self._admit(Handover(visitor.sock, bytes(data), visitor.address, visitor.port))

    def _look(self, visitor: Visitor) -> None:
        """Wait for a whole ClientHello without reading it. The kernel wakes us when it is there (SO_RCVLOWAT), for a
        byte that was looked at and left is always ready; or before, when the connection ends."""
        look = socket.MSG_PEEK | socket.MSG_DONTWAIT
        head = visitor.sock.recv(max(visitor.awaited, HEADER_LENGTH), look) if visitor.awaited else b""
        if visitor.awaited and len(head) < visitor.awaited:
            raise RemoteProtocolError("TLS error: unexpected eof while reading")
        wanted = wanted_length(head)
        if wanted == visitor.awaited:
            visitor.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            self._forget(visitor)
            self._admit(Handover(visitor.sock, b"", visitor.address, visitor.port, secure_until=visitor.deadline))
            return
        visitor.awaited = wanted
        visitor.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)

    def _stay(self, visitor: Visitor) -> None:
        """It will take a while: make room if there are too many, or too much of what they have said."""
        if visitor.sock.fileno() not in self._visitors:
            if self._per_peer[visitor.address] >= MAX_VISITORS_PER_PEER:
                self._drop(next(other for other in self._visitors.values() if other.address == visitor.address))
            elif len(self._visitors) >= MAX_VISITORS:
                self._drop(next(iter(self._visitors.values())))
            self._enter(visitor)
        self._bytes += len(visitor.data) - visitor.counted
        visitor.counted = len(visitor.data)
        while self._bytes > MAX_BYTES:
            longest = max(self._visitors.values(), key=lambda visitor: visitor.counted)
            log.warning("too many long requests that are not complete, dropping the one of %s", longest.address)
            self._drop(longest)

    def _leave(self, visitor: Visitor, now: float, answer: bytes) -> None:
        visitor.leaving = True
        visitor.deadline = now + LINGER
        try:
            if visitor.awaited:
                visitor.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            visitor.sock.send(answer, socket.MSG_DONTWAIT)
            visitor.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(visitor)

    def _discard_input(self, visitor: Visitor) -> None:
        try:
            if visitor.sock.recv(_CHUNK, socket.MSG_DONTWAIT):
                return
        except BlockingIOError:
            return
        except OSError:
            pass  # reset: gone as well
        self._drop(visitor)

    def _enter(self, visitor: Visitor) -> Visitor:
        self._visitors[visitor.sock.fileno()] = visitor
        self._per_peer[visitor.address] += 1
        self._selector.register(visitor.sock, selectors.EVENT_READ, self.on_readable)
        return visitor

    def _forget(self, visitor: Visitor) -> None:
        if self._visitors.pop(visitor.sock.fileno(), None) is None:
            return  # it said all at once
        self._selector.unregister(visitor.sock)
        self._bytes -= visitor.counted
        self._per_peer[visitor.address] -= 1
        if not self._per_peer[visitor.address]:
            del self._per_peer[visitor.address]

    def _drop(self, visitor: Visitor) -> None:
        self._forget(visitor)
        visitor.sock.close()
