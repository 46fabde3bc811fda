"""The web server: GET and HEAD, a few connections at a time, none for long.

Whatever a client does, it holds one of `MOST_CONNECTIONS` places for `LONGEST` seconds, and loses it sooner if others
come: the connection that is open for the longest time goes first.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from dcmrecv_metrics.pages import Answer, Pages

log = logging.getLogger("dcmrecv.metrics")

MOST_CONNECTIONS = 16
LONGEST = 10.0
"""Seconds from the acceptance of a connection until it is closed, whatever is under way."""

_PLACE_SECONDS = 1.0
"""Seconds to wait for the thread of a connection that was closed for another one."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Server(ThreadingHTTPServer):
    """Serves `pages` on the socket `bound`, and calls itself `name`."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, bound: socket.socket, pages: Pages, name: str) -> None:
        super().__init__(bound.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = bound
        self.pages = pages
        self.name = name
        self._open: dict[socket.socket, float] = {}
        self._changed = threading.Condition()
        self.server_activate()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Make a place for the connection; False if there is none."""
        with self._changed:
            if len(self._open) >= MOST_CONNECTIONS:
                _shut_down(next(iter(self._open)))  # the oldest
                if not self._changed.wait_for(lambda: len(self._open) < MOST_CONNECTIONS, _PLACE_SECONDS):
                    return False
            self._open[request] = time.monotonic() + LONGEST
        return True

    def close_request(self, request: Any) -> None:
        with self._changed:
            self._open.pop(request, None)
            self._changed.notify_all()
        super().close_request(request)

    def service_actions(self) -> None:
        """Called twice a second."""
        now = time.monotonic()
        with self._changed:
            for connection in [each for each, end in self._open.items() if end <= now]:
                _shut_down(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if isinstance(error, OSError):
            log.debug("client %s: %s", client_address[0], error)
        else:
            log.error("request of client %s failed", client_address[0], exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = LONGEST

    def do_GET(self) -> None:
        self._send(self.server.pages.answer(self.path, self.headers.get("Accept", "")))

    do_HEAD = do_GET

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Of http.server: a request that cannot be read, or another method."""
        status = HTTPStatus(code)
        if status == HTTPStatus.NOT_IMPLEMENTED:
            status = HTTPStatus.METHOD_NOT_ALLOWED
        self._send(Answer(f"{status.phrase}\n".encode(), code=status))

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.code)
        headers = {"Content-Type": answer.content_type, "Content-Length": str(len(answer.body)), **_HEADERS}
        if answer.code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = "GET, HEAD"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def version_string(self) -> str:
        return self.server.name

    def log_message(self, format: str, *values: object) -> None:
        log.debug("client %s: %s", self.client_address[0], format % values)


def _shut_down(connection: socket.socket) -> None:
    """Let what its thread waits for end at once; the thread closes it."""
    with suppress(OSError):  # the client has closed it
        connection.shutdown(socket.SHUT_RDWR)
