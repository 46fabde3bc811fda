"""How a connection and its association request get from the front desk to a worker.

A stream socket pair with length-framed messages; the descriptor travels with the first byte (SCM_RIGHTS). Datagram
and seqpacket pairs fail above 212 KB, and a request may have 1 MiB.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass

from dcmrecv_core.net.connection import PATIENCE

_FRAME = struct.Struct("!IHBd")  # length of the request, peer's port, length of the peer's address, secure_until or 0
_TIMEVAL = struct.Struct("@ll")
IDLE = b"I"
"""What a worker sends when it is ready for an association."""
READ = b"R"
"""What it sends when a connection with TLS has come as far as others are when they are handed over."""
TAKEN = b"T"
"""What it sends when a hand-over has arrived. The supervisor keeps its copy until then, for another worker."""
_USUAL = 16384
"""Bytes that nearly all hand-overs come within, and so at once. Nothing follows one before the worker is idle again."""


@dataclass(slots=True)
class Handover:
    """A connection whose A-ASSOCIATE-RQ was read to its end; `lost` counts the workers that ended before they took it.

    With TLS only the ClientHello is there, not yet read: the worker has until the monotonic time `secure_until`, which
    all processes share, for handshake and request.
    """

    sock: socket.socket
    request: bytes
    address: str
    port: int
    lost: int = 0
    secure_until: float | None = None


class Sender:
    """The desk's side of one hand-over; `advance` sends what the pair takes without blocking."""

    __slots__ = ("_data", "_fds", "handover")

    def __init__(self, handover: Handover) -> None:
        self.handover = handover
        address = handover.address.encode()
        frame = _FRAME.pack(len(handover.request), handover.port, len(address), handover.secure_until or 0.0)
        self._data = memoryview(frame + address + handover.request)
        self._fds = [handover.sock.fileno()]

    def advance(self, control: socket.socket) -> bool:
        """Send on; True when all is sent. Raises OSError if the worker is gone."""
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
        """Whether the connection is on its way; the request may not be yet."""
        return not self._fds

    def close(self) -> None:
        """Close the connection here: a worker has it now, or this is another process's business."""
        self.handover.sock.close()


def set_patience(control: socket.socket) -> None:
    """The worker's side: let `receive` wait for PATIENCE at most."""
    control.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(0, int(PATIENCE * 1e6)))


def receive(control: socket.socket) -> Handover | None:
    """The worker's side: wait for the next hand-over; None when the supervisor closed the pair or is gone.

    Raises BlockingIOError if none has begun within PATIENCE, another OSError when the supervisor ends within one or if
    no descriptor is left for the connection.
    """
    data, fds, _, _ = socket.recv_fds(control, _USUAL, 1)
    if not data:
        return None
    if not fds:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    sock = socket.socket(type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, fileno=fds[0])
    try:
        data = _read_on(control, data, _FRAME.size)
        length, port, address_length, secure_until = _FRAME.unpack_from(data)
        start = _FRAME.size + address_length
        data = _read_on(control, data, start + length)
        address = data[_FRAME.size : start].decode()
        handover = Handover(sock, data[start:], address, port, secure_until=secure_until or None)
        control.send(TAKEN)
        return handover
    except OSError:
        sock.close()
        raise


def _read_on(control: socket.socket, data: bytes, length: int) -> bytes:
    """`data` and what it lacks of `length` bytes."""
    if len(data) >= length:
        return data
    whole = bytearray(data)
    while len(whole) < length:
        try:
            chunk = control.recv(length - len(whole))
        except BlockingIOError:
            continue
        if not chunk:
            raise ConnectionResetError("the supervisor ended within a hand-over")
        whole += chunk
    return bytes(whole)
