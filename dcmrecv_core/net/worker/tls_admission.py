"""Before the session of a TLS connection: the handshake, then the association request, under the front desk's deadline.

Without TLS the front desk reads the request."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from contextlib import suppress

from dcmrecv_core.api.errors import RemoteProtocolError
from dcmrecv_core.net.connection import Connection
from dcmrecv_core.net.handover import Handover
from dcmrecv_core.net.tls.connection import TlsConnection
from dcmrecv_core.net.tls.context import reason_of
from dcmrecv_core.net.worker.association_log import log_connection_only, log_failed_request
from dcmrecv_core.proto import pdu

_CHUNK = 65536


def admit(
    handover: Handover, context: ssl.SSLContext, max_request: int, should_stop: Callable[[], bool]
) -> TlsConnection | None:
    """Shake hands and read the association request into `handover`.

    If that fails, log why, close the connection and return None.
    """
    try:
        connection = TlsConnection(handover.sock, context)
    except OSError as error:
        handover.sock.close()
        log_failed_request(handover.address, f"TLS error: {reason_of(error)}")
        return None
    deadline = handover.tls_deadline or 0.0
    try:
        connection.shake_hands(deadline, should_stop)
        handover.request = _read_request(connection, deadline, max_request, should_stop)
        return connection
    except EOFError as error:
        if error.args[0] < pdu.HEADER_LENGTH:
            log_connection_only(handover.address)
        else:
            log_failed_request(handover.address, "DUL network closed")
    except TimeoutError:
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


def _read_request(connection: Connection, deadline: float, max_request: int, should_stop: Callable[[], bool]) -> bytes:
    """Read the A-ASSOCIATE-RQ and not a byte more. Raises EOFError(bytes read) if the peer closes before its end."""
    data = bytearray()
    wanted = pdu.HEADER_LENGTH
    chunk = bytearray(_CHUNK)
    while len(data) < wanted:
        if time.monotonic() >= deadline or should_stop():
            raise TimeoutError
        with memoryview(chunk) as view, view[: wanted - len(data)] as room:
            count = connection.receive_into(room)
        if count is None:
            continue
        if not count:
            raise EOFError(len(data))
        data += chunk[:count]
        if len(data) == pdu.HEADER_LENGTH:
            wanted += pdu.check_request_header(bytes(data), max_request)
    return bytes(data)
