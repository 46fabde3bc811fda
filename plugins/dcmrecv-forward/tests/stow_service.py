"""A strict STOW-RS service, which parses each request by Python's own means."""

from __future__ import annotations

import ssl
import threading
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from peers import SECONDS


class Stow:
    """Keeps the files and headers of requests, and answers with `status` and `answer`."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.status = 200
        self.answer: bytes = b"{}"
        self.files: list[bytes] = []
        self.headers: list[Message] = []
        self.paths: list[str] = []
        self.connections = 0
        self.unread = False
        self.keep = True
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.port = self._server.server_address[1]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stow = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = SECONDS

            def setup(self) -> None:
                stow.connections += 1
                super().setup()

            def do_POST(self) -> None:
                stow.headers.append(self.headers)
                stow.paths.append(self.path)
                if not stow.unread:
                    stow.files.append(_only_part(self.headers, self.rfile.read(int(self.headers["Content-Length"]))))
                self.close_connection = stow.unread or not stow.keep
                self.send_response(stow.status)
                self.send_header("Content-Type", "application/dicom+json")
                self.send_header("Content-Length", str(len(stow.answer)))
                self.end_headers()
                self.wfile.write(stow.answer)

            def log_message(self, *args: Any) -> None:
                pass

        return Handler

    def end(self) -> None:
        self._server.shutdown()
        self._thread.join(SECONDS)
        self._server.server_close()


def _only_part(headers: Message, body: bytes) -> bytes:
    """The one part of a multipart/related body (RFC 2387), by its boundary to the byte."""
    assert headers.get_content_type() == "multipart/related"
    assert headers.get_param("type") == "application/dicom"
    boundary = str(headers.get_param("boundary")).encode()
    head, tail = b"--" + boundary + b"\r\nContent-Type: application/dicom\r\n\r\n", b"\r\n--" + boundary + b"--\r\n"
    assert body.startswith(head) and body.endswith(tail)
    return body[len(head) : -len(tail)]
