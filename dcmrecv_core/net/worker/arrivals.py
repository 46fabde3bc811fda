"""Where an idle worker waits: for a hand-over of the supervisor, and for connections, which it may accept itself.

It serves a connection if its peer may have a place and the whole association request is there at once, as it is with
nearly all senders: that saves two processes that have to be woken. Any other connection is passed on to the front desk,
with all its bytes: the worker looks at them without reading (MSG_PEEK).

The kernel wakes one idle worker for a connection (EPOLLEXCLUSIVE); one that is stopped (SIGSTOP) is not waiting, so it
is left out.
"""

from __future__ import annotations

import errno
import logging
import select
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcmrecv_core.api.errors import RemoteProtocolError
from dcmrecv_core.net.admission import Activity, AdmissionTable, Door, Slot
from dcmrecv_core.net.connection import CALL_TIMEOUT, plain_address, poll
from dcmrecv_core.net.handover import (
    IDLE,
    TAKEN,
    Handover,
    LostAssociation,
    pass_on,
    receive,
    set_timeouts,
)
from dcmrecv_core.proto import pdu

if TYPE_CHECKING:
    from dcmrecv_core.net.shares import Shares

log = logging.getLogger("dcmrecv.net")

PATIENCE = 0.002
"""Seconds that a worker waits for the request of a connection that it has accepted. Senders connect and send at once;
the first bytes of the others are the front desk's to wait for."""

LONGEST_REQUEST = 1 << 15
"""Bytes of the longest request that a worker reads itself."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """What a worker needs to accept connections itself. `listeners` is empty if only the front desk may."""

    listeners: Sequence[socket.socket]
    table: AdmissionTable
    shares: Shares
    max_request: int


class Arrivals:
    """The next associations of one worker. `stopping` says whether it has to end."""

    def __init__(self, control: socket.socket, slot: Slot, entrance: Entrance, stopping: Callable[[], bool]) -> None:
        self._control = control
        self._slot = slot
        self._entrance = entrance
        self._stopping = stopping
        self._listeners = {listener.fileno(): listener for listener in entrance.listeners}
        self._is_new = True
        self._epoll: select.epoll | None = None
        if self._listeners:
            self._epoll = select.epoll()
            self._epoll.register(control, select.EPOLLIN)
        self._door = Door.SHUT
        self._follow_door()  # before it is idle: the front desk waits after it
        set_timeouts(control)

    def next(self) -> Handover | LostAssociation | None:
        """Wait for the next association, begun in the admission table, or for one that another worker has lost; None
        when the worker has to end. Raises OSError if the supervisor ends, or if no descriptor is free for it."""
        self._slot.claim.offer()
        if self._is_new or self._entrance.table.requests_wait:
            self._is_new = False
            self._control.send(IDLE)
        while not self._stopping():
            if self._entrance.table.door is not self._door:
                self._follow_door()
            ready = self._wait()
            is_told = self._control.fileno() in ready
            # as the worker slept, the door may have been shut: then the connection is the next program's
            for fd in ready if self._entrance.table.door is self._door else ():
                # the kernel has woken no other process for this connection
                if fd in self._listeners and (found := self._accept(fd, serves=not is_told)):
                    return found
            if is_told:
                return self._receive()
        return None

    def _wait(self) -> list[int]:
        """Wait at most CALL_TIMEOUT; returns the descriptors that are ready."""
        if self._epoll is None:
            return [self._control.fileno()] if poll(self._control, select.POLLIN) else []
        return [fd for fd, _ in self._epoll.poll(CALL_TIMEOUT)]

    def _receive(self) -> Handover | LostAssociation | None:
        given = receive(self._control)
        if isinstance(given, Handover):
            try:
                self._begin(given)
                self._control.send(TAKEN)
            except OSError:
                given.sock.close()
                raise
        elif given is not None:
            self._slot.become(Activity.AWAY)
            self._control.send(TAKEN)
        return given

    def _accept(self, fd: int, *, serves: bool) -> Handover | None:
        """Accept a connection: returns it if this worker is to serve it, which it may only if it `serves`."""
        try:
            sock, (address, port, *_) = self._listeners[fd].accept()
        except KeyError:  # SIGTERM came in between
            return None
        except (BlockingIOError, ConnectionAbortedError):
            return None
        except OSError as error:
            if error.errno == errno.EMFILE:
                raise
            self._leave(fd)  # the receiver ends, or the whole system is out of resources
            return None
        handover = Handover(sock, b"", plain_address(address), port)
        if serves and not self._stopping() and self._takes(handover):
            log.debug("Association Received: %s", handover.address)
            return handover
        self._pass_on(sock)
        return None

    def _takes(self, handover: Handover) -> bool:
        """Whether this worker serves the connection; only then its request is read."""
        length = request_length(handover.sock, self._entrance.max_request)
        if not length or not self._slot.claim.take():
            return False
        self._begin(handover)
        with suppress(OSError):  # the peer has reset it
            if self._admits():
                handover.request = handover.sock.recv(length, socket.MSG_DONTWAIT)
                return True
        self._slot.rest()
        self._slot.claim.offer()
        return False

    def _admits(self) -> bool:
        """Asked when the association stands in the table."""
        table = self._entrance.table
        return not table.requests_wait and self._entrance.shares.may_stay(self._slot, table)

    def _follow_door(self) -> None:
        self._door = self._entrance.table.door
        if self._door is Door.CLOSED:
            self.stop_listening()
        for fd in list(self._listeners):
            # a signal handler may have closed it just now
            with suppress(OSError):
                if self._epoll is None:
                    continue
                if self._door is Door.OPEN:
                    self._epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)
                else:
                    self._epoll.unregister(fd)

    def look_at_door(self) -> None:
        """Close the listening sockets soon after the receiver has closed its door, also while an association is served:
        with the last copy the kernel refuses connections. Called by a signal handler at any moment."""
        if self._entrance.table.door is Door.CLOSED:
            self.stop_listening()

    def stop_listening(self) -> None:
        """Accept no more connections. Called by a signal handler at any moment."""
        for fd in list(self._listeners):
            self._leave(fd)

    def _leave(self, fd: int) -> None:
        listener = self._listeners.pop(fd, None)
        if listener is not None and self._epoll is not None:
            # others have copies, so closing alone would not end the registration, if there is one
            with suppress(OSError):
                self._epoll.unregister(fd)
            listener.close()

    def _begin(self, handover: Handover) -> None:
        self._slot.begin(handover.address, time.monotonic(), handshake=handover.tls_deadline is not None)

    def _pass_on(self, sock: socket.socket) -> None:
        """Raises OSError if the supervisor has ended."""
        with sock:
            while True:
                try:
                    return pass_on(self._control, sock)
                except BlockingIOError:  # the supervisor is busy
                    if self._stopping():
                        return None


def request_length(sock: socket.socket, longest: int) -> int:
    """The bytes of the association request of a new connection, header included, if all of them are there; nothing is
    read. 0 if it does not arrive within PATIENCE, is invalid or long: the front desk sees the same, and says so."""
    with suppress(OSError, RemoteProtocolError):
        data = _look(sock) or _look(sock, 1)
        if len(data) >= pdu.HEADER_LENGTH:
            length = pdu.HEADER_LENGTH + pdu.check_request_header(data[: pdu.HEADER_LENGTH], longest)
            if len(data) >= length or (length <= LONGEST_REQUEST and len(_look(sock, length)) >= length):
                return length
    return 0


def _look(sock: socket.socket, wanted: int = 0) -> bytes:
    """The first bytes of a connection, unread, as soon as `wanted` bytes have arrived or PATIENCE is over; no bytes if
    none have arrived. Raises OSError if the peer has closed it."""
    if wanted > 1:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
    if wanted:
        poll(sock, select.POLLIN, PATIENCE)
    if wanted > 1:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
    try:
        data = sock.recv(LONGEST_REQUEST, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b""
    if not data:
        raise ConnectionError("the peer has closed the connection")
    return data
