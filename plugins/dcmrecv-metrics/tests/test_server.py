"""The web server: what it answers, and what clients cannot do to it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from documents import document
from serving import SOON, running

from dcmrecv_core.testing import until
from dcmrecv_metrics import server as server_module
from dcmrecv_metrics.history import History
from dcmrecv_metrics.pages import Pages
from dcmrecv_metrics.server import MOST_CONNECTIONS, Server
from dcmrecv_metrics.source import Source

NAME = "dcmrecv-metrics (receiver of port 104)"


@contextmanager
def served(read: Callable[[], dict[str, Any]]) -> Iterator[int]:
    bound = socket.create_server(("127.0.0.1", 0))
    with Server(bound, Pages(Source(read), History()), NAME) as server, running(server):
        yield bound.getsockname()[1]


def get(port: int, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response, response.read().decode()
    finally:
        connection.close()


@pytest.fixture
def port() -> Iterator[int]:
    with served(document) as port:
        yield port


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def test_each_page(port: int) -> None:
    kinds = {
        "/": "text/html",
        "/metrics": "text/plain",
        "/livez": "text/plain",
        "/readyz": "text/plain",
        "/status.json": "application/json",
        "/style.css": "text/css",
    }
    for path, kind in kinds.items():
        response, body = get(port, path)
        assert (response.status, response.headers.get_content_type()) == (200, kind), path
        assert body
    assert get(port, "/livez")[1] == "alive\n"
    assert get(port, "/readyz?verbose=1")[1] == "ready\n"
    assert json.loads(get(port, "/status.json")[1]) == document()


def test_it_is_alive_while_the_disk_hangs() -> None:
    """The queues are read from the state directory."""
    hangs, asked = threading.Event(), threading.Event()

    def read() -> dict[str, Any]:
        asked.set()
        hangs.wait(20)
        return document()

    with served(read) as port, connect(port) as waiting:
        waiting.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        assert asked.wait(10)
        try:
            assert get(port, "/livez")[1] == "alive\n"
        finally:
            hangs.set()
        assert waiting.makefile("rb").read().endswith(b"ready\n")


def test_headers(port: int) -> None:
    for path in ("/", "/metrics", "/nowhere"):
        headers = get(port, path)[0].headers
        policy = dict(rule.strip().split(" ", 1) for rule in headers["Content-Security-Policy"].split(";"))
        assert policy == {
            "default-src": "'none'",
            "style-src": "'self'",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
        }
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Server"] == NAME


def test_a_head_request_has_no_body(port: int) -> None:
    response, body = get(port, "/metrics", "HEAD")
    assert (response.status, body) == (200, "")
    assert int(response.headers["Content-Length"]) > 1000


def test_openmetrics_if_it_is_accepted(port: int) -> None:
    response, body = get(port, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert response.headers.get_content_type() == "application/openmetrics-text"
    assert body.endswith("# EOF\n")


def test_other_paths(port: int) -> None:
    for path in ("/nowhere", "/../etc/passwd", "/style.css/", "/<script>"):
        response, body = get(port, path)
        assert (response.status, response.headers.get_content_type()) == (404, "text/plain")
        assert "/metrics\n" in body and "script" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE", "OPTIONS", "X<script>"])
def test_other_methods(port: int, method: str) -> None:
    response, body = get(port, "/", method)
    assert (response.status, body) == (405, "Method Not Allowed\n")
    assert response.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "sent", [b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n", b"\x01\x00\x00\x00"]
)
def test_what_is_no_http(port: int, sent: bytes) -> None:
    with connect(port) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass
    assert get(port, "/livez")[0].status == 200


@pytest.mark.parametrize("state", ["not ready", "draining", "stopping"])
def test_not_ready(state: str) -> None:
    with served(lambda: document(state=state, not_ready=["/out has no space left"])) as port:
        response, body = get(port, "/readyz")
        assert (response.status, body) == (503, f"{state}\n/out has no space left\n")
        assert get(port, "/livez")[0].status == 200
        assert get(port, "/metrics")[0].status == 200


def test_a_fault_of_ours_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with served(dict) as port:
        with pytest.raises(http.client.RemoteDisconnected):
            get(port, "/metrics")
        assert "request of client 127.0.0.1 failed" in caplog.text
        assert get(port, "/style.css")[0].status == 200


def test_silent_and_slow_clients_disturb_no_other(port: int) -> None:
    with ExitStack() as opened:
        for number in range(6 * MOST_CONNECTIONS):
            client = opened.enter_context(connect(port))
            client.sendall(b"GET /metrics HTTP/1.1\r\nX: " if number % 2 else b"")
            if number % 10 == 9:
                begun = time.monotonic()
                assert get(port, "/readyz")[0].status == 200
                assert time.monotonic() - begun < SOON
        until(lambda: threading.active_count() < 2 * MOST_CONNECTIONS, "few threads")


def test_a_client_that_reads_nothing_disturbs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    large = document(not_ready=["x" * 10_000_000])
    with served(lambda: large) as port, ExitStack() as opened:
        for _ in range(2 * MOST_CONNECTIONS):
            opened.enter_context(connect(port)).sendall(b"GET /status.json HTTP/1.1\r\n\r\n")
        assert get(port, "/livez")[0].status == 200


def test_a_client_that_dribbles_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "LONGEST", 0.3)
    with served(document) as port, connect(port) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        client.settimeout(0.05)
        end = time.monotonic() + 10
        with suppress(ConnectionError):
            while time.monotonic() < end:
                try:
                    if client.recv(1) == b"":
                        break
                except TimeoutError:
                    client.sendall(b"x")
        assert time.monotonic() < end, "it still has its place"


def test_one_question_to_the_receiver_serves_all() -> None:
    asked = []

    def read() -> dict[str, Any]:
        asked.append(1)
        return document()

    now = [0.0]
    source = Source(read, lambda: now[0])
    for _ in range(50):
        source.status()
    assert len(asked) == 1
    now[0] = 0.25
    source.status()
    assert len(asked) == 2
