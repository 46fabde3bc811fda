"""STOW-RS to a strict service that parses each request by Python's own means."""

from __future__ import annotations

import json
import socket
import ssl
import tracemalloc
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from peers import Peers
from pydicom import dcmread
from stow_service import Stow

from dcmrecv_core import Undeliverable
from dcmrecv_core.testing import fake_event, sample_dataset
from dcmrecv_forward.errors import ConnectionLost, NotSent, Unreachable
from dcmrecv_forward.stow import Service, StowSender, authorization, judge
from support.programs.certificates import Certificates
from support.programs.receivers import free_port


@pytest.fixture
def stow() -> Iterator[Stow]:
    started = Stow()
    yield started
    started.end()


OPEN: list[StowSender] = []


@pytest.fixture(autouse=True)
def closed_at_the_end() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


def sender(port: int, path: str = "/dicom-web", *, timeout: float = 30, **headers: str) -> StowSender:
    OPEN.append(StowSender(Service(f"http://127.0.0.1:{port}{path}", timeout, headers)))
    return OPEN[-1]


def test_the_file_as_stored_over_one_connection(stow: Stow, tmp_path: Path) -> None:
    to = sender(stow.port, Authorization="Bearer secret")
    contents = []
    for number in range(3):
        event = fake_event(sample_dataset(SOPInstanceUID=f"1.2.{number}"), output_directory=tmp_path)
        to.send(event)
        contents.append(Path(event.location).read_bytes())
    to.close()
    assert stow.files == contents
    assert [dcmread(BytesIO(each)).SOPInstanceUID for each in stow.files] == ["1.2.0", "1.2.1", "1.2.2"]
    assert stow.connections == 1
    assert set(stow.paths) == {"/dicom-web/studies"}
    assert stow.headers[0]["Authorization"] == "Bearer secret"
    assert stow.headers[0]["Accept"] == "application/dicom+json"


@pytest.mark.parametrize("path", ["", "/", "/studies", "/a/studies/"])
def test_paths(stow: Stow, path: str) -> None:
    sender(stow.port, path).send(fake_event())
    assert stow.paths[0] == ("/a/studies" if "a" in path else "/studies")


def test_credentials() -> None:
    assert authorization("abc", None, None) == {"Authorization": "Bearer abc"}
    assert authorization(None, "jane", "s\u00fc\u00df") == {"Authorization": "Basic amFuZTpzw7zDnw=="}
    assert authorization(None, None, None) == {}


def failed(reason: int | None, sequence: str = "00081198") -> bytes:
    item = {} if reason is None else {"00081197": {"vr": "US", "Value": [reason]}}
    return json.dumps({sequence: {"vr": "SQ", "Value": [item]}}).encode()


STORED = json.dumps({"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}]}}).encode()


@pytest.mark.parametrize(
    ("status", "answer"),
    [(200, b""), (200, b"<xml/>"), (200, STORED), (202, STORED), (200, b"[%b]" % STORED), (202, b"{}")],
)
def test_stored(status: int, answer: bytes) -> None:
    judge(status, "OK", answer)


@pytest.mark.parametrize(
    ("status", "answer", "text"),
    [
        (200, failed(0x0110), "status 200 OK, Failure Reason 0110"),
        (202, failed(0xA900), "Failure Reason A900"),
        (202, failed(0xC000, "0008119A"), "Failure Reason C000"),
        (409, failed(0x0122), "Failure Reason 0122"),
        (409, failed(None), "Failure Reason 0110"),
        (409, b'{"00081198": {"Value": [{"00081197": {"Value": ["x"]}}]}}', "Failure Reason 0110"),
        (409, b"", "does not say that it has stored it: status 409"),
        (202, b"<xml/>", "does not say that it has stored it: status 202 OK: <xml/>"),
        (400, b"bad\n request", "refused it: status 400 OK: bad request"),
        (415, b"", "refused it: status 415"),
    ],
)
def test_refused(status: int, answer: bytes, text: str) -> None:
    with pytest.raises(Undeliverable, match=text):
        judge(status, "OK", answer)


@pytest.mark.parametrize("status", [301, 401, 404, 405, 429, 503, 507])
def test_takes_nothing(status: int) -> None:
    with pytest.raises(Unreachable, match=f"answers with status {status} no"):
        judge(status, "no", b"")


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>Log in", b"\n<html>", b"\xef\xbb\xbf<!doctype  HTML>"])
def test_a_web_page_is_no_service(page: bytes) -> None:
    with pytest.raises(Unreachable, match="a web page with status 200 OK"):
        judge(200, "OK", page)


@pytest.mark.parametrize(
    ("status", "answer"),
    [(500, b""), (403, b""), (502, b""), (504, b""), (201, b""), (204, b""), (418, b""), (409, failed(0xA700))],
)
def test_to_be_tried_again(status: int, answer: bytes) -> None:
    with pytest.raises(NotSent, match=f"status {status}"):
        judge(status, "no", answer)


@pytest.mark.parametrize("answer", [b"[" * 100_000, b"[1]", b'{"00081198": 1}', b"\xff", b'{"00081198": {"Value": 1}}'])
def test_odd_answers(answer: bytes) -> None:
    judge(200, "OK", answer)


def test_refused_before_it_was_read(stow: Stow, tmp_path: Path) -> None:
    """A service that is not interested answers at once and closes."""
    stow.unread, stow.status = True, 413
    dataset = sample_dataset()
    dataset.PixelData = bytes(8_000_000)
    to = sender(stow.port)
    with pytest.raises((Undeliverable, ConnectionLost), match=r"413|connection broke"):
        to.send(fake_event(dataset, output_directory=tmp_path))
    stow.unread, stow.status = False, 200
    to.send(fake_event())


def test_a_service_that_closes_after_each_answer(stow: Stow) -> None:
    stow.keep = False
    to = sender(stow.port)
    for _ in range(3):
        to.send(fake_event())
    assert len(stow.files) == 3


def test_one_that_was_closed_while_idle(peers: Peers) -> None:
    def answer(connection: socket.socket) -> None:
        while b"--\r\n" not in connection.recv(65536):
            pass
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def once(connection: socket.socket) -> None:
        answer(connection)
        connection.close()

    to = sender(peers.script(once, answer))
    to.send(fake_event())
    to.send(fake_event())
    to.close()


def test_no_service(peers: Peers) -> None:
    with pytest.raises(Unreachable, match=r"no connection to http://127\.0\.0\.1:\d+/dicom-web: Connection refused"):
        sender(free_port()).send(fake_event())
    with pytest.raises(NotSent, match=r"no answer within 0\.3 s"):
        sender(peers.script(lambda connection: None), timeout=0.3).send(fake_event())
    with pytest.raises(NotSent, match="connection broke"):
        sender(peers.script(lambda connection: connection.sendall(b"garbage\r\n"))).send(fake_event())


def test_tls(certificates: Certificates) -> None:
    stow = Stow(certificates.server_context())
    try:
        context = ssl.create_default_context(cafile=certificates.authority)
        key, certificate = certificates.client
        context.load_cert_chain(certificate, key)
        OPEN.append(StowSender(Service(f"https://localhost:{stow.port}", 10, {}, context)))
        OPEN[-1].send(fake_event())
        with pytest.raises(Unreachable, match="IP address mismatch"):
            StowSender(Service(f"https://127.0.0.1:{stow.port}", 10, {}, context)).send(fake_event())
        assert len(stow.files) == 1
    finally:
        stow.end()


def test_a_large_instance_is_not_in_memory(peers: Peers, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with fake_event().open() as file:
        path.write_bytes(file.read())
    with path.open("r+b") as file:
        file.truncate(200_000_000)

    def answer(connection: socket.socket) -> None:
        rest = 200_000_000
        buffer = bytearray(1 << 20)
        while rest > 0:
            rest -= connection.recv_into(buffer)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    class Located:
        def open(self) -> Any:
            return path.open("rb")

    to = sender(peers.script(answer))
    tracemalloc.start()
    try:
        to.send(Located())  # type: ignore[arg-type]
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    to.close()
