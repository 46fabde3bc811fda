"""A server for the tests of URLs."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from typing import Any


class Endpoint(HTTPServer):
    """Answers each POST with the next of `answers`, after the last with 204, and keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.posts: Queue[tuple[str, dict[str, str], bytes]] = Queue()
        self.others: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}/hook?token=secret"

    def next_post(self) -> tuple[str, dict[str, str], bytes]:
        """Path, headers and body of the next request; queue.Empty after 60 s."""
        return self.posts.get(timeout=60)


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.put((self.path, dict(self.headers), body))
        status, headers = self.server.answers.pop(0) if self.server.answers else (204, {})
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.others.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass
