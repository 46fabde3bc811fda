"""S3 servers beside moto's: versitygw, and one that misbehaves as it is told."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from dcmrecv_core.testing import until
from support.servers.s3_server import KEYS, S3Server

_START = 60.0


def start_versitygw(program: str, directory: Path) -> S3Server:
    """versitygw, a server in Go on a directory; it does not say which port it has found, so one is found for it."""
    (directory / "data").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    environment = {"ROOT_ACCESS_KEY": KEYS["AWS_ACCESS_KEY_ID"], "ROOT_SECRET_KEY": KEYS["AWS_SECRET_ACCESS_KEY"]}
    command = [
        program,
        "--quiet",
        "--keep-alive",
        "--port",
        f"{address[0]}:{address[1]}",
        "posix",
        str(directory / "data"),
    ]
    variables = {**os.environ, **environment}
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, start_new_session=True)
    until(lambda: _listens(address), "versitygw listens", _START)
    return S3Server(f"http://{address[0]}:{address[1]}", process)


def _listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address).close()
    except ConnectionRefusedError:
        return False
    return True


class Misbehaving:
    """Keeps objects in memory. It ignores all conditions; `answer`, if set, handles a request in its place."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.checksums: dict[str, str | None] = {}
        self.answer: Callable[[BaseHTTPRequestHandler], None] | None = None
        self.ending = threading.Event()
        self.asked = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:  # the client has given up
                    self.close_connection = True

            def _any(self) -> None:
                server.asked += 1
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if server.answer is not None:
                    server.answer(self)
                    return
                path = self.path.partition("?")[0]
                if self.command == "PUT":
                    server.objects[path] = body
                    server.checksums[path] = self.headers.get("x-amz-checksum-sha256")
                    reply(self, 200)
                elif self.command == "DELETE":
                    server.objects.pop(path, None)
                    reply(self, 204)
                elif path in server.objects:
                    reply(self, 200, server.objects[path])
                else:
                    reply(self, 404)

            do_PUT = do_DELETE = do_GET = do_HEAD = do_POST = _any

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def hang(self, handler: BaseHTTPRequestHandler) -> None:
        """An `answer` that never comes."""
        self.ending.wait()

    def end(self) -> None:
        self.ending.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_START)


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"") -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.send_header("ETag", '"1"')
    handler.send_header("Last-Modified", "Sun, 29 Nov 2026 20:00:00 GMT")
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


def refuse(code: str, status: int) -> Callable[[BaseHTTPRequestHandler], None]:
    """An `answer` with this error."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    return lambda handler: reply(handler, status, body)


def forget_aws(set_variable: Callable[[str, str], None], delete: Callable[[str], None], home: Path) -> None:
    """No settings of the machine that runs the tests, only `KEYS`."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        delete(name)
    for name, value in KEYS.items():
        set_variable(name, value)
    set_variable("HOME", str(home))


def options(endpoint: str, bucket: str, *more: object) -> tuple[object, ...]:
    """Of a receiver that stores in `bucket`, below `site/`."""
    return ("-pm", "--plugin", "s3", "--s3-url", f"s3://{bucket}/site", "--s3-endpoint", endpoint, *more)
