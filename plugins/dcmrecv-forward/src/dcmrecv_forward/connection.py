"""A connection on which PDUs are sent and read, each step with a deadline (PS3.8 section 9.3)."""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import dataclass

from dcmrecv_forward.errors import ConnectionLost, NotSent, Unreachable

DATA, RELEASE_RQ, RELEASE_RP, ABORT = 4, 5, 6, 7
LONGEST_PDU = 1 << 20
"""Of those that a peer may send: an A-ASSOCIATE-AC, or a response."""

_SECONDS_TO_CONNECT = 10.0
_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)
"""On Linux, for one read: DCMTK writes a response in two pieces and holds back the second until the first is
acknowledged (Nagle), for which the kernel takes 40 ms otherwise."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Where and as whom to connect. `timeout`, in seconds: a peer that makes no progress for so long is given up.
    `tls_name`: the name that its certificate must have, if not `host`."""

    host: str
    port: int
    called: str
    calling: str
    timeout: float
    tls: ssl.SSLContext | None = None
    tls_name: str | None = None


class Connection:
    """`send` and `receive` raise NotSent when nothing goes on, ConnectionLost when it ends; then it is of no use."""

    def __init__(self, peer: Peer) -> None:
        """Raises Unreachable."""
        self._timeout = peer.timeout
        self._socket = connect(peer)

    def send(self, data: bytes | bytearray) -> None:
        """All of it; the deadline is for each call."""
        try:
            self._socket.sendall(data)
        except TimeoutError as error:
            raise NotSent(f"it did not read for {self._timeout:g} s") from error
        except OSError as error:
            raise ConnectionLost(f"the connection broke: {text_of(error)}") from error

    def receive(self) -> tuple[int, bytes]:
        """The next PDU: its type, and what follows the length. Raises for A-ABORT too."""
        kind, _, length = struct.unpack(">BBI", self._read(6))
        if length > LONGEST_PDU:
            raise NotSent("what it answered is no DICOM")
        body = self._read(length)
        if kind == ABORT:
            raise ConnectionLost("it aborted the association")
        return kind, body

    def is_quiet(self) -> bool:
        """Whether nothing has come, neither data nor the end."""
        self._socket.settimeout(0)
        try:
            self._socket.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            pass
        finally:
            self._socket.settimeout(self._timeout)
        return False

    def shorten(self, seconds: float) -> None:
        """From now on the peer has at most so long for each step."""
        self._timeout = min(seconds, self._timeout)
        self._socket.settimeout(self._timeout)

    def close(self) -> None:
        self._socket.close()

    def _read(self, length: int) -> bytes:
        data = bytearray()
        try:
            while len(data) < length:
                if _QUICK_ACK is not None:
                    self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
                piece = self._socket.recv(length - len(data))
                if not piece:
                    raise ConnectionLost("it closed the connection instead of answering")
                data += piece
        except TimeoutError as error:
            raise NotSent(f"no answer within {self._timeout:g} s") from error
        except OSError as error:
            raise ConnectionLost(f"the connection broke: {text_of(error)}") from error
        return bytes(data)


def connect(peer: Peer) -> socket.socket:
    """A connection to `peer`, with TLS if it has a context. Raises Unreachable."""
    sock = None
    try:
        sock = socket.create_connection((peer.host, peer.port), min(_SECONDS_TO_CONNECT, peer.timeout))
        sock.settimeout(peer.timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if peer.tls is None:
            return sock
        return peer.tls.wrap_socket(sock, server_hostname=peer.tls_name or peer.host)
    except (OSError, UnicodeError) as error:  # UnicodeError: a host name that cannot be one
        if sock is not None:
            sock.close()
        where = f"{peer.host} port {peer.port}"
        if sock is None:
            raise Unreachable(f"no connection to {where}: {text_of(error)}") from error
        raise Unreachable(f"no TLS with {where}: {text_of(error)}") from error


def text_of(error: Exception) -> str:
    """What an operating system or OpenSSL says, without numbers."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, TimeoutError):
        return "time-out"
    return getattr(error, "strerror", None) or str(error)
