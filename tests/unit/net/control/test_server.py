"""The control socket's side in the supervisor: no client makes it wait, or takes the place of another."""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.api.version import __version__
from dcmrecv_core.net.control import server as module
from dcmrecv_core.net.control.server import (
    CLIENT_SECONDS,
    MAX_CLIENTS,
    MAX_REQUEST,
    Answer,
    ControlError,
    ControlServer,
)

BIG = "x" * 4_000_000


@dataclass
class Driver:
    """A supervisor that consists of the server only."""

    path: Path
    later: list[Answer] = field(default_factory=list)
    clients: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(64)
        self.listener.setblocking(False)
        commands = {"echo": self.echo, "later": self.wait, "fail": self.fail, "big": self.big, "break": self.fall}
        self.server = ControlServer(self.selector, self.listener, commands)
        self.now = time.monotonic()

    def echo(self, request: Mapping[str, Any], answer: Answer) -> None:
        answer({"said": request.get("text")})

    def wait(self, request: Mapping[str, Any], answer: Answer) -> None:
        self.later.append(answer)

    def fail(self, request: Mapping[str, Any], answer: Answer) -> None:
        raise ControlError("not today")

    def fall(self, request: Mapping[str, Any], answer: Answer) -> None:
        raise ZeroDivisionError

    def big(self, request: Mapping[str, Any], answer: Answer) -> None:
        answer({"said": BIG})

    def turn(self) -> None:
        """All that is ready, until nothing is."""
        while ready := self.selector.select(0):
            for key, _ in ready:
                if self.selector.get_map().get(key.fd) is key:
                    key.data(key.fileobj, self.now)

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        self.clients.append(client)
        client.connect(str(self.path))
        client.setblocking(False)
        self.turn()
        return client

    def close(self) -> None:
        self.server.close_in_child()
        self.selector.close()
        for client in self.clients:
            client.close()

    def pass_seconds(self, seconds: float) -> None:
        self.now += seconds
        self.server.tick(self.now)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    driver = Driver(tmp_path / "s")
    yield driver
    driver.close()


def ask(driver: Driver, client: socket.socket, line: bytes) -> Any:
    """The answer, "end" if the connection has ended, None if there is none yet."""
    client.sendall(line)
    return read(driver, client)


def read(driver: Driver, client: socket.socket) -> Any:
    data = b""
    while not data.endswith(b"\n"):
        driver.turn()
        try:
            part = client.recv(1 << 20)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return "end"
        if not part:
            return "end"
        data += part
    return json.loads(data)


def test_one_request_after_the_other(driver: Driver) -> None:
    client = driver.connect()
    for text in ("a", "b"):
        found = ask(driver, client, json.dumps({"command": "echo", "text": text}).encode() + b"\n")
        assert found == {"version": __version__, "said": text}
    assert ask(driver, client, b'{"command": "fail"}\n')["error"] == "not today"
    assert ask(driver, client, b'{"command": "ech') is None
    assert ask(driver, client, b'o"}\n')["said"] is None


@pytest.mark.parametrize(
    "line",
    [b"", b"x", b"[]", b"3", b'"echo"', b"{}", b'{"command": "dance"}', b'{"command": []}', b"[" * 4000, b"\xff"],
)
def test_what_is_no_command(driver: Driver, line: bytes) -> None:
    found = ask(driver, driver.connect(), line + b"\n")
    assert found["error"] == f"this receiver, of version {__version__}, has the commands echo, later, fail, big, break"


def test_a_mistake_in_a_command(driver: Driver, caplog: pytest.LogCaptureFixture) -> None:
    client = driver.connect()
    found = ask(driver, client, b'{"command": "break"}\n')
    assert found["error"] == "internal error, see the log of the receiver"
    assert "internal error in control command break" in caplog.text
    assert ask(driver, client, b'{"command": "echo"}\n')["said"] is None


@pytest.mark.parametrize("data", [b"x" * (MAX_REQUEST + 1), b'{"command": "echo"}\n{"command": "echo"}\n'])
def test_too_much_at_once(driver: Driver, data: bytes) -> None:
    assert ask(driver, driver.connect(), data) == "end"


def test_an_answer_that_comes_later(driver: Driver) -> None:
    client = driver.connect()
    assert ask(driver, client, b'{"command": "later"}\n') is None
    driver.pass_seconds(1000 * CLIENT_SECONDS)
    driver.later[0]({"done": True})
    assert read(driver, client)["done"] is True


def test_a_client_that_does_not_wait_for_it(driver: Driver) -> None:
    client = driver.connect()
    ask(driver, client, b'{"command": "later"}\n')
    client.close()
    driver.turn()
    other = driver.connect()
    assert ask(driver, other, b'{"command": "later"}\n') is None
    driver.later[0]({"for": "the first one, whose number the second one may have now"})
    assert read(driver, other) is None
    driver.later[1]({"for": "the second"})
    assert read(driver, other)["for"] == "the second"


def test_more_of_one_that_waits(driver: Driver) -> None:
    client = driver.connect()
    ask(driver, client, b'{"command": "later"}\n')
    assert ask(driver, client, b"more") == "end"


def test_an_answer_in_parts(driver: Driver) -> None:
    assert ask(driver, driver.connect(), b'{"command": "big"}\n')["said"] == BIG


def test_one_that_never_reads(driver: Driver) -> None:
    client = driver.connect()
    client.sendall(b'{"command": "big"}\n')
    driver.turn()
    driver.pass_seconds(CLIENT_SECONDS + 1)
    assert len(driver.selector.get_map()) == 1, "only the listener is left"
    assert ask(driver, driver.connect(), b'{"command": "echo"}\n')["said"] is None


def test_silent_ones_go_in_time(driver: Driver) -> None:
    clients = [driver.connect() for _ in range(3)]
    driver.pass_seconds(CLIENT_SECONDS / 2)
    assert ask(driver, clients[1], b"{") is None
    driver.pass_seconds(CLIENT_SECONDS / 2)
    assert [read(driver, client) for client in clients] == ["end", None, "end"]
    driver.pass_seconds(CLIENT_SECONDS)
    assert read(driver, clients[1]) == "end"


def test_too_many(driver: Driver) -> None:
    """The last one is served, and so is one that waits for its answer."""
    waits = driver.connect()
    ask(driver, waits, b'{"command": "later"}\n')
    crowd = []
    for _ in range(1000):
        driver.now += 0.001
        crowd.append(driver.connect())
    assert len(driver.selector.get_map()) == 1 + MAX_CLIENTS
    assert ask(driver, crowd[-1], b'{"command": "echo"}\n')["said"] is None
    driver.later[0]({})
    assert read(driver, waits) == {"version": __version__}


def test_as_many_as_may_wait(driver: Driver) -> None:
    for _ in range(MAX_CLIENTS):
        ask(driver, driver.connect(), b'{"command": "later"}\n')
    assert read(driver, driver.connect())["error"] == "too many clients wait for an answer"


def test_another_user(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that the mode of the socket has not kept out."""
    monkeypatch.setattr(module.os, "geteuid", lambda: 12345)
    monkeypatch.setattr(module, "_ROOT", 12346)
    assert read(driver, driver.connect())["error"] == "root and the receiver's own user may ask, no others"


@settings(max_examples=100, deadline=None)
@given(
    parts=st.lists(st.one_of(st.binary(max_size=50), st.sampled_from([b"\n", b'{"command": "echo"}\n'])), max_size=8)
)
def test_any_bytes(parts: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    """The server goes on, whatever comes."""
    driver = Driver(tmp_path_factory.mktemp("any") / "s")
    try:
        client = driver.connect()
        for part in parts:
            try:
                client.sendall(part)
            except OSError:
                break
            driver.turn()
        assert ask(driver, driver.connect(), b'{"command": "echo"}\n')["said"] is None
    finally:
        driver.close()
