"""The supervisor hands a connection and its association request over to a worker.

The other way round, a worker passes on a connection that it has accepted and does not serve: its request is not there
at once, or its peer may have no place now.

Both ends use a stream socket pair with length-framed messages; the first byte carries the descriptor (SCM_RIGHTS).
Datagram and seqpacket pairs fail above 212 KB, and a request may have 1 MiB.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass

from dcmrecv_core.net.connection import CALL_TIMEOUT

_FRAME = struct.Struct("!BIHBd")
"""Kind; length of the request, or of the notice; peer's port, length of the peer's address, tls_deadline or 0."""
_CONNECTION = b"C"[0]
_NOTICE = b"N"[0]
_INT = struct.Struct("@i")
_TIMEVAL = struct.Struct("@ll")
IDLE = b"I"
"""A worker sends this when it is ready for its first association, and for another one while requests wait."""
REQUEST_READ = b"R"
"""A worker sends this when it has read the association request over TLS: another handshake may begin."""
TAKEN = b"T"
"""A worker sends this when a hand-over has arrived. Until then the supervisor keeps a copy, for another worker."""
PASSED_ON = b"P"
"""A worker sends this with a connection that it has accepted and does not serve; nothing of it is read."""
_MESSAGES = 64
_FIRST_READ = 16384
"""Bytes of the first read; nearly all hand-overs are shorter. The next one follows only when the worker is idle."""


@dataclass(slots=True)
class Handover:
    """A connection whose A-ASSOCIATE-RQ is complete; `workers_lost` counts workers that ended before they took it.

    With TLS only the ClientHello has arrived, unread: the worker has until `tls_deadline`, a monotonic time (the same
    clock in all processes), for handshake and request.
    """

    sock: socket.socket
    request: bytes
    address: str
    port: int
    workers_lost: int = 0
    tls_deadline: float | None = None


@dataclass(frozen=True, slots=True)
class LostAssociation:
    """An association that was lost with its worker, for another worker to tell of it; `data` is for `record.decode`."""

    data: bytes


class HandoverSender:
    """The supervisor's side of one hand-over; `advance` sends as much as it can without blocking."""

    __slots__ = ("_data", "_fds", "handover")

    def __init__(self, handover: Handover | LostAssociation) -> None:
        self.handover = handover
        self._fds: list[int] = []
        if isinstance(handover, LostAssociation):
            self._data = memoryview(_FRAME.pack(_NOTICE, len(handover.data), 0, 0, 0.0) + handover.data)
            return
        address = handover.address.encode()
        frame = _FRAME.pack(
            _CONNECTION, len(handover.request), handover.port, len(address), handover.tls_deadline or 0.0
        )
        self._data = memoryview(frame + address + handover.request)
        self._fds = [handover.sock.fileno()]

    def advance(self, control: socket.socket) -> bool:
        """Continue to send; True when all is sent. Raises OSError if the worker has ended."""
        while self._data:
            try:
                if self._fds:
                    sent = socket.send_fds(control, [self._data], self._fds)
                    self._fds = []
                else:
                    sent = control.send(self._data)
            except BlockingIOError:
                return False
            self._data = self._data[sent:]
        return True

    @property
    def is_done(self) -> bool:
        """Whether all is sent."""
        return not self._data

    @property
    def has_begun(self) -> bool:
        """Whether the connection's descriptor is sent; the request may not be complete."""
        return not self._fds

    def close(self) -> None:
        """Close this process's copy of the connection."""
        if isinstance(self.handover, Handover):
            self.handover.sock.close()


def receive_with_descriptors(sock: socket.socket, size: int, most: int) -> tuple[bytes, list[int]]:
    """At most `size` bytes, and `most` descriptors that came with them. No program that a plugin starts inherits these;
    `socket.recv_fds` ignores the flag for that. Raises OSError."""
    data, ancillary, _, _ = sock.recvmsg(size, socket.CMSG_LEN(most * _INT.size), socket.MSG_CMSG_CLOEXEC)
    return data, [
        fd
        for level, kind, content in ancillary
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS
        for (fd,) in _INT.iter_unpack(content[: len(content) // _INT.size * _INT.size])
    ]


def hear(control: socket.socket) -> tuple[bytes, socket.socket | None]:
    """The supervisor's side: messages of the worker, no bytes if it has ended, and a connection if it has passed one on
    and a descriptor is free. Raises BlockingIOError if there are no messages."""
    messages, fds = receive_with_descriptors(control, _MESSAGES, 1)
    return messages, socket.socket(fileno=fds[0]) if fds else None


def set_timeouts(control: socket.socket) -> None:
    """The worker's side: `receive` and `pass_on` wait at most CALL_TIMEOUT."""
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        control.setsockopt(socket.SOL_SOCKET, option, _TIMEVAL.pack(0, int(CALL_TIMEOUT * 1e6)))


def pass_on(control: socket.socket, sock: socket.socket) -> None:
    """The worker's side: let the supervisor have a connection; the caller closes its own copy. Raises BlockingIOError
    if the supervisor takes nothing for CALL_TIMEOUT, another OSError if it has ended."""
    socket.send_fds(control, [PASSED_ON], [sock.fileno()])


def receive(control: socket.socket) -> Handover | LostAssociation | None:
    """The worker's side: wait for the next hand-over; None when the supervisor has closed the pair or ended. The caller
    confirms it (TAKEN).

    Raises BlockingIOError if none begins within CALL_TIMEOUT; another OSError if the supervisor ends in the middle of
    one, or if the process has no free descriptor for the connection.
    """
    data, fds = receive_with_descriptors(control, _FIRST_READ, 1)
    if not data:
        return None
    if data[0] == _NOTICE:
        data = _read_to_length(control, data, _FRAME.size)
        data = _read_to_length(control, data, _FRAME.size + _FRAME.unpack_from(data)[1])
        return LostAssociation(data[_FRAME.size :])
    if not fds:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    sock = socket.socket(type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, fileno=fds[0])
    try:
        data = _read_to_length(control, data, _FRAME.size)
        _, length, port, address_length, tls_deadline = _FRAME.unpack_from(data)
        start = _FRAME.size + address_length
        data = _read_to_length(control, data, start + length)
        address = data[_FRAME.size : start].decode()
        return Handover(sock, data[start:], address, port, tls_deadline=tls_deadline or None)
    except OSError:
        sock.close()
        raise


def _read_to_length(control: socket.socket, data: bytes, length: int) -> bytes:
    """Read until there are `length` bytes, `data` included."""
    if len(data) >= length:
        return data
    whole = bytearray(data)
    while len(whole) < length:
        try:
            chunk = control.recv(length - len(whole))
        except BlockingIOError:
            continue
        if not chunk:
            raise ConnectionResetError("the supervisor ended in the middle of a hand-over")
        whole += chunk
    return bytes(whole)
