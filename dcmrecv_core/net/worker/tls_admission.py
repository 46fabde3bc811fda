"""Before the session of a TLS connection: the handshake, then the association request, under the front desk's deadline.

Without TLS the front desk reads the request."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from dcmrecv_core.api.errors import RemoteProtocolError
from dcmrecv_core.net.connection import Connection
from dcmrecv_core.net.handover import Handover
from dcmrecv_core.net.tls.connection import HANDSHAKE_WAIT, TlsConnection
from dcmrecv_core.net.tls.context import reason_of
from dcmrecv_core.net.worker.association_log import log_connection_only, log_failed_request
from dcmrecv_core.proto import pdu

if TYPE_CHECKING:
    from dcmrecv_core.net.admission import Slot

log = logging.getLogger("dcmrecv.net")

_CHUNK = 65536


class _Patience:
    """Whether to wait on for a peer that is silent; `newcomer` is the address of the one that needs its place."""

    def __init__(self, slot: Slot, should_stop: Callable[[], bool]) -> None:
        self._slot = slot
        self._should_stop = should_stop
        self._silent_since = 0.0
        self.newcomer = ""

    def is_over(self, silent_since: float) -> bool:
        if silent_since == self._silent_since:  # else it has just sent something
            self.newcomer = self._slot.newcomer
        self._silent_since = silent_since
        self._slot.wait_since(silent_since)
        return bool(self.newcomer) or self._should_stop()


def admit(
    handover: Handover, context: ssl.SSLContext, max_request: int, should_stop: Callable[[], bool], slot: Slot
) -> TlsConnection | None:
    """Shake hands and read the association request into `handover`. `slot` shows the supervisor since when the peer is
    silent.

    If that fails, log why, close the connection and return None.
    """
    try:
        connection = TlsConnection(handover.sock, context)
    except OSError as error:
        handover.sock.close()
        log_failed_request(handover.address, f"TLS error: {reason_of(error)}")
        return None
    deadline = handover.tls_deadline or 0.0
    patience = _Patience(slot, should_stop)
    try:
        connection.shake_hands(deadline, patience.is_over)
        handover.request = _read_request(connection, deadline, max_request, patience.is_over)
        return connection
    except EOFError as error:
        if error.args[0] < pdu.HEADER_LENGTH:
            log_connection_only(handover.address)
        else:
            log_failed_request(handover.address, "DUL network closed")
    except TimeoutError:
        if patience.newcomer:
            why = "silent in its TLS handshake, and %s needs its place (--max-associations)"
            log.warning(f"Refusing Association from %s: {why}", handover.address, patience.newcomer)
            connection.finish(0)
            return None
        if not should_stop():
            log_failed_request(handover.address, "DUL network read timeout")
    except RemoteProtocolError as error:
        log_failed_request(handover.address, str(error), error.detail)
        with suppress(OSError):  # closed already
            if not isinstance(error, pdu.PeerAborted):
                connection.send(pdu.encode_abort(error.source, error.reason))
    except OSError as error:
        detail = getattr(error, "verify_message", "")
        log_failed_request(handover.address, f"TLS error: {reason_of(error)}", detail)
    connection.finish()
    return None


def _read_request(
    connection: Connection, deadline: float, max_request: int, should_stop: Callable[[float], bool]
) -> bytes:
    """Read the A-ASSOCIATE-RQ and not a byte more. Raises EOFError(bytes read) if the peer closes before its end."""
    data = bytearray()
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
            raise EOFError(len(data))
        silent_since = time.monotonic()
        data += chunk[:count]
        if len(data) == pdu.HEADER_LENGTH:
            wanted += pdu.check_request_header(bytes(data), max_request)
    return bytes(data)
