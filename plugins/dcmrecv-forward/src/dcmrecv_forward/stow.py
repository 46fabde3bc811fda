"""Sends instances by STOW-RS (PS3.18 section 10.5): one in each request, over a connection that is kept."""

from __future__ import annotations

import base64
import http.client
import json
import re
import secrets
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from dcmrecv_core import StoredEvent, Undeliverable
from dcmrecv_forward.connection import text_of
from dcmrecv_forward.errors import ConnectionLost, NotSent, Unreachable
from dcmrecv_forward.stored import opened, read_meta

_AT_ONCE = 1 << 18
_LONGEST_ANSWER = 1 << 20
_LONGEST_SHOWN = 200
_FAILURES = ("00081198", "0008119A")
"""Failed SOP Sequence, Other Failures Sequence (PS3.18 table I.2-1)."""
_REASON = "00081197"
_STORED, _ACCEPTED, _CONFLICT = 200, 202, 409
_WEB_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)
"""Of a login or a proxy, which say 200 to everything."""
_REFUSED_INSTANCE = frozenset((400, 413, 415, 422))
_TAKES_NOTHING = frozenset((401, 404, 405, 407, 429, 503, 507))
"""Not 403, 408, 502, 504: one instance that a service forbids or fails at must not hold up all others."""


@dataclass(frozen=True, slots=True)
class Service:
    """Where to send: `url` is the service's, `/studies` is added to it. `timeout` in seconds, for each step."""

    url: str
    timeout: float
    headers: Mapping[str, str]
    tls: ssl.SSLContext | None = None


def authorization(token: str | None, user: str | None, password: str | None) -> dict[str, str]:
    """The header for a bearer token (RFC 6750) or a user with password (RFC 7617)."""
    if token is not None:
        return {"Authorization": f"Bearer {token}"}
    if user is not None:
        return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password or ''}".encode()).decode()}
    return {}


class StowSender:
    """Sends to one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        parts = urlsplit(service.url)
        self._path = parts.path.rstrip("/").removesuffix("/studies") + "/studies"
        host, port = parts.hostname or "", parts.port
        self._connection: http.client.HTTPConnection = (
            http.client.HTTPSConnection(host, port, timeout=service.timeout, context=service.tls)
            if parts.scheme == "https"
            else http.client.HTTPConnection(host, port, timeout=service.timeout)
        )

    def send(self, event: StoredEvent) -> str:
        """Return "" when the service has stored it.

        Raises Undeliverable, Unreachable, NotSent, and what `event.open` raises.
        """
        with opened(event) as file:
            size = read_meta(file).size
            kept = self._connection.sock is not None
            try:
                status, reason, body = self._post(file, size)
            except ConnectionLost:
                if not kept:
                    raise
                # an idle one, which the server has closed just now
                status, reason, body = self._post(file, size)
        judge(status, reason, body)
        return ""

    def close(self) -> None:
        """Close the connection, if there is one."""
        self._connection.close()

    def _post(self, file: BinaryIO, size: int) -> tuple[int, str, bytes]:
        """Status, reason and body of the answer."""
        connection = self._connection
        finished = False
        if connection.sock is None:
            self._connect()
        try:
            self._send(file, size)
            response = connection.getresponse()
            body = response.read(_LONGEST_ANSWER)
            finished = response.isclosed()
            return response.status, response.reason, body
        except TimeoutError as error:
            raise NotSent(f"no answer within {self._service.timeout:g} s") from error
        except (http.client.HTTPException, OSError) as error:
            raise ConnectionLost(f"the connection broke: {text_of(error) or type(error).__name__}") from error
        finally:
            if not finished:  # by whatever: what comes next would be taken for the rest of this
                connection.close()

    def _connect(self) -> None:
        try:
            self._connection.connect()
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that cannot be one
            self._connection.close()
            raise Unreachable(f"no connection to {self._service.url}: {text_of(error)}") from error

    def _send(self, file: BinaryIO, size: int) -> None:
        boundary = secrets.token_hex(16)
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        connection = self._connection
        connection.putrequest("POST", self._path)
        connection.putheader("Content-Type", f'multipart/related; type="application/dicom"; boundary={boundary}')
        connection.putheader("Content-Length", str(len(head) + size + len(tail)))
        connection.putheader("Accept", "application/dicom+json")
        for name, value in self._service.headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        try:
            connection.send(head)
            for block in _blocks(file, size):
                connection.send(block)
            connection.send(tail)
        except (BrokenPipeError, ConnectionResetError):
            pass  # a server that refuses what it has not read to the end has answered already, if it has


def _blocks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """All `size` bytes of the file. Raises NotSent if they cannot be read."""
    try:
        file.seek(0)
        while size:
            block = file.read(min(size, _AT_ONCE))
            if not block:
                raise NotSent("the file became shorter while it was sent")
            size -= len(block)
            yield block
    except OSError as error:
        raise NotSent(f"the file cannot be read: {error.strerror}") from error


def judge(status: int, reason: str, body: bytes) -> None:
    """Return if the answer says that the instance is stored (PS3.18 table 10.5.3-1). Raises Undeliverable if it is
    refused, Unreachable if the service takes nothing now, NotSent for all else."""
    answer = _read_json(body)
    said = f"status {status}" + f" {reason}" * bool(reason)
    if _WEB_PAGE.match(body) and status in (_STORED, _ACCEPTED):
        raise Unreachable(f"no DICOM service answers, but a web page with {said}")
    if status in (_STORED, _ACCEPTED, _CONFLICT):
        failures = _failure_reasons(answer)
        if failures:
            said += f", Failure Reason {', '.join(f'{each:04X}' for each in failures)}"
            if all(each >> 8 == 0xA7 for each in failures):
                raise NotSent(f"the service is out of resources: {said}")
            raise Undeliverable(f"the service refused it: {said}")
        if status == _STORED or (status == _ACCEPTED and answer is not None):
            return
        raise Undeliverable(f"the service does not say that it has stored it: {said}{_shown(body)}")
    if status in _REFUSED_INSTANCE:
        raise Undeliverable(f"the service refused it: {said}{_shown(body)}")
    if status in _TAKES_NOTHING or 300 <= status < 400:
        raise Unreachable(f"the service answers with {said}")
    raise NotSent(f"the service answered with {said}{_shown(body)}")


def _read_json(body: bytes) -> Any:
    """The data set of the answer in the DICOM JSON model (PS3.18 annex F); None if it is none."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(answer, list) and len(answer) == 1:
        (answer,) = answer
    return answer if isinstance(answer, dict) else None


def _failure_reasons(answer: Any) -> list[int]:
    """Of each item that says of a failure; 0110H (processing failure) for one that does not say why."""
    reasons = []
    for sequence in _FAILURES:
        for item in _values(answer, sequence):
            code = next(iter(_values(item, _REASON)), 0x0110)
            reasons.append(code if isinstance(code, int) else 0x0110)
    return reasons


def _values(dataset: Any, tag: str) -> list[Any]:
    element = dataset.get(tag) if isinstance(dataset, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _shown(body: bytes) -> str:
    """The beginning of what a server says for people."""
    text = " ".join(body[:_LONGEST_SHOWN].decode("utf-8", "replace").split())
    return f": {text}" if text else ""
