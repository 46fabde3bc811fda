"""The front desk: accepts connections and reads each A-ASSOCIATE-RQ to its end, without blocking.

A connection occupies a worker only when its request is complete; a silent or slow peer costs one descriptor. The front
desk reads exactly 6 + length bytes; the worker reads what follows.

Idle workers wait for the same listening sockets (`net/worker/arrivals.py`). The kernel wakes only one process for each
connection, the one that has waited in the row of that socket for longest; the front desk is last in it, so it accepts
only when no worker is idle. Workers pass on to it what is not complete at once.
"""

from __future__ import annotations

import logging
import math
import select
import selectors
import socket
from collections import Counter, OrderedDict
from collections.abc import Callable
from itertools import chain

from dcmrecv_core.api.errors import RemoteProtocolError
from dcmrecv_core.net import proxy_header
from dcmrecv_core.net.admission import peer_key
from dcmrecv_core.net.claim import CAN_BE_SHARED
from dcmrecv_core.net.connection import CALL_TIMEOUT, LINGER, plain_address
from dcmrecv_core.net.handover import Handover
from dcmrecv_core.net.proxy_header import Proxies, ProxyHeaderError
from dcmrecv_core.net.supervisor.listener import Listeners
from dcmrecv_core.net.tls.client_hello import HEADER_LENGTH, wanted_length
from dcmrecv_core.net.worker.request_log import (
    log_failed_request,
    log_incomplete_request,
    log_other_protocol,
    log_other_than_tls,
    log_without_proxy_header,
)
from dcmrecv_core.proto import first_bytes, pdu

log = logging.getLogger("dcmrecv.net")

MAX_PENDING = 512
"""Half-open connections; when there are more, the oldest of the peer with most of them is dropped. As many more may
wait for their peers to close, `LINGER` seconds each."""

MAX_PENDING_PER_PEER = 256
"""Half-open connections of one peer (`peer_key`); when there are more, its oldest is dropped."""

MAX_PENDING_BYTES = 32 << 20
"""Bytes of all incomplete requests; when there are more, the longest is dropped. Most have less than a kilobyte."""

NO_PEER = b""
"""In place of a `peer_key`: the peer is not known before its PROXY header is read. Its load balancer has no share."""

ACCEPT_PAUSE = 0.5
"""Seconds until the next try to accept after the system refused, usually because no descriptor was free."""

LOOK_SECONDS = 0.5
"""Seconds between two looks for connections that no worker took: one can be stopped or killed after it was woken."""

_ACCEPTS_PER_WAKE = 64
_CHUNK = 65536


class PendingConnection:
    """A connection whose request is incomplete, or one that waits for the peer to close.

    `data` grows as bytes arrive, whatever length the peer declares; reading stops at `wanted` bytes; `counted` of them
    are included in the desk's total. With `tls` `data` stays empty, and the kernel wakes the loop when `low_water`
    bytes have arrived. As long as a PROXY header has to come, `proxy_header` is what has arrived of it, and `peer` is
    NO_PEER.
    """

    __slots__ = (
        "address",
        "counted",
        "data",
        "deadline",
        "low_water",
        "peer",
        "port",
        "proxy_header",
        "sock",
        "tls",
        "wanted",
    )

    def __init__(self, sock: socket.socket, address: str, port: int, deadline: float, tls: bool = False) -> None:
        self.sock = sock
        self.address = address
        self.peer = peer_key(address)
        self.port = port
        self.deadline = deadline
        self.data = bytearray()
        self.counted = 0
        self.wanted = pdu.HEADER_LENGTH
        self.tls = tls
        self.low_water = 0
        self.proxy_header: bytes | None = None

    def await_proxy_header(self) -> None:
        """The address is that of a load balancer, which says first whose connection this is."""
        self.proxy_header = b""
        self.peer = NO_PEER

    def come_from(self, address: str, port: int) -> None:
        """The PROXY header has ended: this is the peer's address."""
        self.proxy_header = None
        self.address, self.port, self.peer = address, port, peer_key(address)


class FrontDesk:
    """All half-open connections, and those that wait for their peers to close. `admit` gets each complete request; loop
    and clock are the supervisor's.

    For new connections: a request has to be complete within `request_seconds` and may have `max_request` bytes after
    its header; with `tls` they use TLS; those from one of the `proxies` begin with a PROXY header. Unless it `accepts`,
    it waits for `open`.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        listeners: Listeners,
        seconds: float,
        admit: Callable[[Handover], None],
        *,
        accepts: bool = True,
    ) -> None:
        self._selector = selector
        self._listeners = listeners
        # the desk's place in the rows of those that wait for the sockets; kept, as no descriptor may be free later
        self._row = select.epoll() if CAN_BE_SHARED else None
        self.request_seconds = seconds
        self.max_request = pdu.MAX_REQUEST_LENGTH
        self.tls = False
        self.proxies = Proxies()
        self._admit = admit
        self._pending: OrderedDict[int, PendingConnection] = OrderedDict()
        self._per_peer: Counter[bytes] = Counter()  # of the pending ones
        self._closing: OrderedDict[int, PendingConnection] = OrderedDict()
        self._bytes = 0
        self._accepting = False
        self._closed = False
        self._resume_at = math.inf
        self._go_last_at = math.inf
        self._look_at = 0.0
        if accepts:
            self._resume()

    @property
    def is_empty(self) -> bool:
        """Whether no request is incomplete."""
        return not self._pending

    def open(self, now: float) -> None:
        """Accept connections from now on."""
        self._resume()
        self._go_last_at = now + 2 * CALL_TIMEOUT  # by then idle workers have seen that they may accept too

    def shut(self) -> None:
        """Accept none for now, and read those that are there."""
        if self._accepting:
            self._pause()
        self._resume_at = self._go_last_at = math.inf

    def _resume(self) -> None:
        self._accepting = True
        self._look_at = 0.0
        if self._row is not None:
            for listener in self._listeners.sockets:
                self._row.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
            self._selector.register(self._row, selectors.EVENT_READ, self._look)
        else:
            for listener in self._listeners.sockets:
                self._selector.register(listener, selectors.EVENT_READ, self.accept)

    def _pause(self) -> None:
        """Accept nothing for now: new connections stay in the kernel's queue, or are the workers'."""
        self._accepting = False
        if self._row is not None:
            self._selector.unregister(self._row)
            for listener in self._listeners.sockets:
                self._row.unregister(listener)
        else:
            for listener in self._listeners.sockets:
                self._selector.unregister(listener)

    def go_last(self) -> None:
        """Another worker waits for connections: let the kernel wake that first."""
        if self._accepting:
            self._pause()
            self._resume()

    def stop_listening(self, now: float, *, passed_on: bool) -> None:
        """Accept none any more, and read those that are there; unless the sockets are `passed_on`, the port is free."""
        if not passed_on and not self._listeners.inherited:
            self._listeners.defer_new()
            self._look(None, now)  # closing a socket resets what waits for it
        self.shut()
        if passed_on:
            self._listeners.close_copies()
        else:
            self._listeners.close()

    def close(self) -> None:
        """Stop listening and drop all connections without a complete request, also those that workers still pass on."""
        self._closed = True
        self.shut()
        if self._row is not None:
            self._row.close()
        self._listeners.close()
        for connection in [*self._pending.values(), *self._closing.values()]:
            self._drop(connection)

    def close_in_child(self, *, listens: bool = False) -> None:
        """In a child: close the copies of the supervisor's sockets, or peers would not see their connection end. A
        worker that `listens` keeps the listening ones."""
        if self._row is not None:
            self._row.close()
        if not listens:
            self._listeners.close_copies()
        for connection in (*self._pending.values(), *self._closing.values()):
            connection.sock.close()

    def _look(self, _: object, now: float) -> None:
        """Accept what no worker has accepted."""
        for listener in self._listeners.sockets:
            if self._accepting:
                self.accept(listener, now)

    def take_over(self, sock: socket.socket, now: float) -> None:
        """A worker has accepted this connection and passes it on."""
        if self._closed:
            sock.close()
            return
        try:
            address, port, *_ = sock.getpeername()
        except OSError:  # reset already
            sock.close()
            return
        self.add_connection(sock, plain_address(address), port, now)

    def accept(self, listener: socket.socket, now: float) -> None:
        """Accept connections from the kernel's queue, a bounded number at a time."""
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
            self.add_connection(sock, plain_address(address), port, now)

    def add_connection(self, sock: socket.socket, address: str, port: int, now: float) -> None:
        """Read from a new connection. Most requests are complete at once; the others are kept until they are."""
        log.debug("Association Received: %s", address)
        connection = PendingConnection(sock, address, port, now + self.request_seconds, self.tls)
        if address in self.proxies:
            connection.await_proxy_header()
        elif connection.tls:
            self._keep(connection)
        self._read(connection, now)

    def refuse(self, handover: Handover, now: float, answer: bytes) -> None:
        """Send `answer`, the last bytes, then wait `LINGER` seconds for the peer to close, so that it can read them."""
        self._begin_close(PendingConnection(handover.sock, handover.address, handover.port, now), now, answer)

    def on_readable(self, sock: socket.socket, now: float) -> None:
        """A peer has sent more of its request, or closed the connection."""
        closing = self._closing.get(sock.fileno())
        if closing is not None:
            self._discard_input(closing)
        else:
            self._read(self._pending[sock.fileno()], now)

    def tick(self, now: float) -> float | None:
        """End connections whose deadline has passed; seconds until the next deadline, None without connections."""
        if not self._accepting and now >= self._resume_at:
            self._resume()
        if now >= self._go_last_at:
            self._go_last_at = math.inf
            self.go_last()
        if self._accepting and now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._look(None, now)
        if not self._pending and not self._closing:
            return None
        for connection in [connection for connection in self._closing.values() if connection.deadline <= now]:
            self._drop(connection)
        for connection in [connection for connection in self._pending.values() if connection.deadline <= now]:
            _log_incomplete(connection, "DUL network read timeout")
            self._begin_close(connection, now, b"")
        everyone = chain(self._pending.values(), self._closing.values())
        return min((connection.deadline - now for connection in everyone), default=None)

    def _read(self, connection: PendingConnection, now: float) -> None:
        """Continue to read the request, and not a byte after it."""
        data = connection.data
        try:
            if connection.proxy_header is not None:
                self._read_proxy_header(connection)
            if connection.tls:
                self._await_client_hello(connection)
                return
            while len(data) < connection.wanted:
                chunk = connection.sock.recv(min(connection.wanted - len(data), _CHUNK), socket.MSG_DONTWAIT)
                if not chunk:
                    raise ConnectionError("DUL network closed")
                data += chunk
                if len(data) == pdu.HEADER_LENGTH:
                    connection.wanted += pdu.check_request_header(bytes(data), self.max_request)
        except BlockingIOError:
            self._keep(connection)
            return
        except OSError as error:
            _log_incomplete(connection, error.strerror or str(error))
            self._drop(connection)
            return
        except ProxyHeaderError as error:
            log_without_proxy_header(connection.address, str(error))
            self._begin_close(connection, now, b"")
            return
        except RemoteProtocolError as error:
            is_foreign = log_other_than_tls if connection.tls else log_other_protocol
            if not is_foreign(connection.address, _brought(connection)):
                log_failed_request(connection.address, str(error), error.detail)
            silent = connection.tls or isinstance(error, pdu.PeerAborted)
            self._begin_close(connection, now, b"" if silent else pdu.encode_abort(error.source, error.reason))
            return
        self._unregister(connection)
        self._admit(Handover(connection.sock, bytes(data), connection.address, connection.port))

    def _read_proxy_header(self, connection: PendingConnection) -> None:
        """Read the header to its end, and not a byte after it. Raises BlockingIOError if more has to come."""
        header = connection.proxy_header or b""
        length = 0
        while not length:
            seen = connection.sock.recv(proxy_header.MOST, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            if not seen:
                raise ConnectionError("DUL network closed")
            length = proxy_header.length_of(header + seen)
            header += connection.sock.recv(length - len(header) if length else len(seen), socket.MSG_DONTWAIT)
            connection.proxy_header = header
        source = proxy_header.source_of(header) or (connection.address, connection.port)
        was_kept = self._forget_pending(connection)
        connection.come_from(*source)
        if was_kept:
            self._selector.unregister(connection.sock)
        if connection.tls:
            self._keep(connection)

    def _await_client_hello(self, connection: PendingConnection) -> None:
        """Wait for a whole ClientHello without reading it. As unread bytes keep the socket readable, SO_RCVLOWAT makes
        the kernel wait until all of it has arrived, or the connection has ended."""
        flags = socket.MSG_PEEK | socket.MSG_DONTWAIT
        head = connection.sock.recv(max(connection.low_water, HEADER_LENGTH), flags) if connection.low_water else b""
        if connection.low_water and not head:
            raise ConnectionError("DUL network closed")
        if len(head) < connection.low_water:
            raise RemoteProtocolError("TLS error: unexpected eof while reading")
        wanted = wanted_length(head)
        if wanted == connection.low_water:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            self._unregister(connection)
            self._admit(
                Handover(connection.sock, b"", connection.address, connection.port, tls_deadline=connection.deadline)
            )
            return
        connection.low_water = wanted
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)

    def _keep(self, connection: PendingConnection) -> None:
        """Keep an incomplete request; drop another one if there are too many, or too many bytes of them."""
        if connection.sock.fileno() not in self._pending:
            if connection.peer != NO_PEER and self._per_peer[connection.peer] >= MAX_PENDING_PER_PEER:
                self._drop_oldest(connection.peer)
            elif len(self._pending) >= MAX_PENDING:
                self._drop_oldest(max(self._per_peer, key=lambda peer: self._per_peer[peer]))
            self._pending[connection.sock.fileno()] = connection
            self._per_peer[connection.peer] += 1
            self._selector.register(connection.sock, selectors.EVENT_READ, self.on_readable)
        self._bytes += len(connection.data) - connection.counted
        connection.counted = len(connection.data)
        while self._bytes > MAX_PENDING_BYTES:
            longest = max(self._pending.values(), key=lambda connection: connection.counted)
            log.warning("too many bytes of incomplete requests, dropping the one of %s", longest.address)
            self._drop(longest)

    def _drop_oldest(self, peer: bytes) -> None:
        oldest = next(connection for connection in self._pending.values() if connection.peer == peer)
        log.debug("too many incomplete requests, dropping the oldest of %s", oldest.address)
        self._drop(oldest)

    def _begin_close(self, connection: PendingConnection, now: float, answer: bytes) -> None:
        if not self._forget_pending(connection):
            self._selector.register(connection.sock, selectors.EVENT_READ, self.on_readable)
        if len(self._closing) >= MAX_PENDING:
            self._drop(next(iter(self._closing.values())))
        self._closing[connection.sock.fileno()] = connection
        connection.data.clear()
        connection.deadline = now + LINGER
        try:
            if connection.low_water:
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            connection.sock.send(answer, socket.MSG_DONTWAIT)
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(connection)

    def _discard_input(self, connection: PendingConnection) -> None:
        try:
            if connection.sock.recv(_CHUNK, socket.MSG_DONTWAIT):
                return
        except BlockingIOError:
            return
        except OSError:
            pass  # reset: ended as well
        self._drop(connection)

    def _forget_pending(self, connection: PendingConnection) -> bool:
        """It is no longer half-open; returns whether it was, and not complete at once."""
        if self._pending.pop(connection.sock.fileno(), None) is None:
            return False
        self._bytes -= connection.counted
        self._per_peer[connection.peer] -= 1
        if not self._per_peer[connection.peer]:
            del self._per_peer[connection.peer]
        return True

    def _unregister(self, connection: PendingConnection) -> None:
        if self._forget_pending(connection) or self._closing.pop(connection.sock.fileno(), None) is not None:
            self._selector.unregister(connection.sock)

    def _drop(self, connection: PendingConnection) -> None:
        self._unregister(connection)
        connection.sock.close()


def _log_incomplete(connection: PendingConnection, why: str) -> None:
    if connection.proxy_header:
        log_without_proxy_header(connection.address, f"it ended within its PROXY header ({why})")
        return
    log_incomplete_request(connection.address, why, _brought(connection), tls=connection.tls)


def _brought(connection: PendingConnection) -> bytes | bytearray:
    """What has arrived; with TLS no more than is needed to say what it is, which stays unread."""
    if not connection.tls:
        return connection.data
    try:
        return connection.sock.recv(first_bytes.MOST, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return b""
