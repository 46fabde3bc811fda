"""`--http ADDRESS:PORT`."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator

import pytest
from documents import document
from serving import free_address, running

from dcmrecv_metrics.address import Address
from dcmrecv_metrics.history import History
from dcmrecv_metrics.pages import Pages
from dcmrecv_metrics.server import Server
from dcmrecv_metrics.source import Source

OURS = "dcmrecv-metrics (receiver of port 104)"


@pytest.mark.parametrize("text", ["127.0.0.1:9104", "0.0.0.0:1", "[::1]:9104", "[::]:65535"])
def test_addresses(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("9104", "ADDRESS:PORT expected"),
        ("127.0.0.1:", "ADDRESS:PORT expected"),
        ("127.0.0.1:0", "ADDRESS:PORT expected"),
        ("127.0.0.1:65536", "ADDRESS:PORT expected"),
        ("127.0.0.1:+1", "ADDRESS:PORT expected"),
        ("127.0.0.1:\u0661", "ADDRESS:PORT expected"),
        (":9104", "is not an IP address"),
        ("localhost:9104", "is not an IP address"),
        ("::1:9104", "square brackets"),
        ("[127.0.0.1]:9104", "square brackets"),
    ],
)
def test_what_is_none(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Address.parse(text)


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def address_of(listener: socket.socket) -> Address:
    return Address(*listener.getsockname()[:2])


def test_a_free_port_is_free_after_the_check_too() -> None:
    address = Address(*free_address())
    address.check(OURS)
    address.check(OURS)
    with address.bind() as bound:
        assert bound.getsockname() == (address.host, address.port)


def test_ipv6() -> None:
    with Address("::1", 0).bind() as bound:
        assert bound.family == socket.AF_INET6


def test_an_address_that_is_not_here() -> None:
    with pytest.raises(OSError) as failure:
        Address("192.0.2.1", 9104).check(OURS)
    assert failure.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.parametrize("answer", [b"", b"220 mail\r\n", b"HTTP/1.0 200 OK\r\nServer: nginx\r\n\r\n"])
def test_a_port_that_something_else_has(taken: socket.socket, answer: bytes) -> None:
    def serve() -> None:
        client, _ = taken.accept()
        with client:
            client.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with pytest.raises(OSError) as failure:
        address_of(taken).check(OURS)
    assert failure.value.errno == errno.EADDRINUSE
    thread.join(10)


def test_a_port_whose_owner_does_not_answer(taken: socket.socket) -> None:
    with pytest.raises(OSError):
        address_of(taken).check(OURS)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_port_that_this_receiver_has_itself(host: str) -> None:
    bound = socket.create_server((host, 0))
    with Server(bound, Pages(Source(document), History()), OURS) as server, running(server):
        address_of(bound).check(OURS)
        with pytest.raises(OSError):
            address_of(bound).check("dcmrecv-metrics (receiver of port 105)")
