"""Before the session of a TLS connection: the handshake, then the association request, under the front desk's deadline.

Without TLS the front desk reads the request."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from dcmrecv_core.api.errors import RemoteProtocolError
from dcmrecv_core.net.admission import LONGEST_HANDSHAKE
from dcmrecv_core.net.connection import Connection
from dcmrecv_core.net.handover import Handover
from dcmrecv_core.net.tls.client_hello import LONGEST_RECORD
from dcmrecv_core.net.tls.connection import HANDSHAKE_WAIT, TlsConnection
from dcmrecv_core.net.tls.context import reason_of
from dcmrecv_core.net.tls.refusals import explained
from dcmrecv_core.net.worker.counting import count_failed_handshake
from dcmrecv_core.net.worker.request_log import log_failed_request, log_incomplete_request, log_other_protocol
from dcmrecv_core.proto import pdu

if TYPE_CHECKING:
    from dcmrecv_core.net.admission import Slot
    from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("dcmrecv.net")

_CHUNK = 65536


class _Patience:
    """Whether to wait on for the peer; `newcomer` is the address of the one that needs its place."""

    def __init__(self, slot: Slot, should_stop: Callable[[], bool]) -> None:
        self._slot = slot
        self._should_stop = should_stop
        self._silent_since = 0.0
        self._longest = time.monotonic() + LONGEST_HANDSHAKE
        self.newcomer = ""

    def is_over(self, silent_since: float) -> bool:
        has_just_sent = silent_since != self._silent_since
        if not has_just_sent or time.monotonic() >= self._longest:
            self.newcomer = self._slot.newcomer
        self._silent_since = silent_since
        self._slot.wait_since(silent_since)
        return bool(self.newcomer) or self._should_stop()


def admit(
    handover: Handover, context: ssl.SSLContext, settings: Settings, should_stop: Callable[[], bool], slot: Slot
) -> TlsConnection | None:
    """Shake hands and read the association request into `handover`. `slot` shows the supervisor since when the peer is
    silent.

    If that fails, log why, close the connection and return None.
    """
    address = handover.address
    try:
        hello = _client_hello(handover.sock)
        connection = TlsConnection(handover.sock, context)
    except OSError as error:
        handover.sock.close()
        log_incomplete_request(address, f"TLS error: {reason_of(error)}", b"")
        return None
    deadline = handover.tls_deadline or 0.0
    patience = _Patience(slot, should_stop)
    request: bytearray | None = None
    try:
        connection.shake_hands(deadline, patience.is_over)
        request = bytearray()
        _read_request(connection, request, deadline, settings.max_request, patience.is_over)
        handover.request = bytes(request)
        return connection
    except TimeoutError:
        if patience.newcomer:
            why = "silent or slow in its TLS handshake, and %s needs its place (--max-associations)"
            log.warning(f"Refusing Association from %s: {why}", handover.address, patience.newcomer)
            connection.finish(0)
            return None
        if not should_stop():
            if request is None:
                log_failed_request(address, "DUL network read timeout", "in the TLS handshake")
            else:
                log_incomplete_request(address, "DUL network read timeout", request)
    except RemoteProtocolError as error:
        if not log_other_protocol(address, request or b""):
            log_failed_request(address, str(error), error.detail)
        with suppress(OSError):  # closed already
            if not isinstance(error, pdu.PeerAborted):
                connection.send(pdu.encode_abort(error.source, error.reason))
    except OSError as error:
        if request is None or isinstance(error, ssl.SSLError):
            reason, cause = reason_of(error), explained(error, context, hello, settings)
            log_failed_request(address, f"TLS error: {reason}", cause)
            count_failed_handshake(slot.counters, address, f"{reason}: {cause}" if cause else reason)
        else:
            log_incomplete_request(address, error.strerror or str(error), request)
    connection.finish()
    return None


def _client_hello(sock: socket.socket) -> bytes:
    """The first record, still unread: it says what the peer offers."""
    try:
        return sock.recv(LONGEST_RECORD, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b""


def _read_request(
    connection: Connection, data: bytearray, deadline: float, max_request: int, should_stop: Callable[[float], bool]
) -> None:
    """Read the A-ASSOCIATE-RQ into `data`, and not a byte more. Raises ConnectionError if the peer closes before its
    end."""
    wanted = pdu.HEADER_LENGTH
    chunk = bytearray(_CHUNK)
    silent_since = time.monotonic()
    while len(data) < wanted:
        if time.monotonic() >= deadline or should_stop(silent_since):
            raise TimeoutError
        if not connection.wait_readable(HANDSHAKE_WAIT):
            continue
        with memoryview(chunk) as view, view[: wanted - len(data)] as room:
            count = connection.receive_into(room)
        if count is None:
            continue
        if not count:
            raise ConnectionError("DUL network closed")
        silent_since = time.monotonic()
        data += chunk[:count]
        if len(data) == pdu.HEADER_LENGTH:
            wanted += pdu.check_request_header(bytes(data), max_request)
