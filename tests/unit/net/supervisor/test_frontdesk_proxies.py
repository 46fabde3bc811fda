"""The front desk behind a load balancer: a PROXY header first, then the peer's connection as any other."""

from __future__ import annotations

import logging
import selectors
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest

from dcmrecv_core.net.handover import Handover
from dcmrecv_core.net.proxy_header import Proxies
from dcmrecv_core.net.supervisor import frontdesk
from dcmrecv_core.net.supervisor.frontdesk import FrontDesk
from dcmrecv_core.net.supervisor.listener import Listeners
from dcmrecv_core.testing import until
from support.protocol.pdus import associate_rq
from support.protocol.proxy_headers import LOCAL, version_1, version_2
from support.uids import IMPLICIT_LE, VERIFICATION

BALANCER = "10.0.0.9"
REQUEST = associate_rq([(VERIFICATION, [IMPLICIT_LE])])
HELLO = struct.pack(">BHH", 22, 0x0301, 100) + bytes(100)


class Desk:
    """A front desk that expects PROXY headers of one address, with a clock that stands."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.admitted: list[Handover] = []
        self.selector = selectors.DefaultSelector()
        self.desk = FrontDesk(self.selector, Listeners([]), 30.0, self.admitted.append)
        self.desk.proxies = Proxies([f"{BALANCER}/32"])
        self._open: list[socket.socket] = []

    def turn(self) -> int:
        """Handle what is ready; returns the number of events."""
        ready = self.selector.select(0.05)
        for key, _ in ready:
            if self.selector.get_map().get(key.fd) is key:
                key.data(key.fileobj, self.now)
        self.desk.tick(self.now)
        return len(ready)

    def connect(self, said: bytes = b"", address: str = BALANCER) -> socket.socket:
        """A real TCP connection, because of SO_RCVLOWAT."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            peer = socket.create_connection(listener.getsockname(), timeout=20)
            ours, _ = listener.accept()
        self._open.append(peer)
        peer.sendall(said)
        until(lambda: not said or len(ours.recv(len(said), socket.MSG_PEEK)) == len(said), "all of it has arrived")
        self.desk.add_connection(ours, address, 4242, self.now)
        return peer

    def who(self) -> list[tuple[str, int]]:
        return [(handover.address, handover.port) for handover in self.admitted]

    def close(self) -> None:
        self.desk.close()
        self.selector.close()
        for sock in [*self._open, *(handover.sock for handover in self.admitted)]:
            sock.close()


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.close()


@pytest.mark.parametrize("header", [version_1("192.0.2.7"), version_2("192.0.2.7", tlvs=b"\x04\0\2xx")])
@pytest.mark.parametrize("at_once", [True, False])
def test_the_peer_is_the_one_of_the_header(desk: Desk, header: bytes, at_once: bool) -> None:
    whole = header + REQUEST
    peer = desk.connect(whole + b"tail" if at_once else b"")
    if not at_once:
        for byte in whole:
            assert desk.admitted == []
            peer.sendall(bytes([byte]))
            assert desk.turn() == 1
        peer.sendall(b"tail")
    assert desk.who() == [("192.0.2.7", 4711)]
    assert desk.admitted[0].request == REQUEST
    assert desk.admitted[0].sock.recv(100) == b"tail"


@pytest.mark.parametrize("header", [version_1("2001:db8::7"), version_2("2001:db8::7")])
def test_tls_follows_the_header(desk: Desk, header: bytes) -> None:
    desk.desk.tls = True
    peer = desk.connect()
    for byte in header + HELLO[:4]:
        peer.sendall(bytes([byte]))
        desk.turn()
    assert desk.turn() == 0, "the loop spins"
    peer.sendall(HELLO[4:])
    while not desk.admitted:
        assert desk.turn()
    assert desk.who() == [("2001:db8::7", 4711)]
    assert desk.admitted[0].sock.recv(200) == HELLO


def test_a_header_without_a_source_keeps_the_address(desk: Desk) -> None:
    desk.connect(LOCAL + REQUEST)
    desk.connect(b"PROXY UNKNOWN\r\n" + REQUEST)
    assert desk.who() == [(BALANCER, 4242)] * 2


def test_others_need_no_header_and_may_send_none(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.connect(REQUEST, "10.0.0.8")
    assert desk.who() == [("10.0.0.8", 4242)]
    desk.connect(version_1("192.0.2.7") + REQUEST, "10.0.0.8")
    assert len(desk.admitted) == 1
    refused = "connection from 10.0.0.8 refused: the PROXY protocol, version 1 instead of DICOM; use --proxy-from"
    assert refused in caplog.text


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (REQUEST, "it does not begin with a PROXY header"),
        (HELLO, "it does not begin with a PROXY header"),
        (b"PROXY TCP4 nonsense\r\n", "its PROXY header is malformed: b'PROXY TCP4 nonsense'"),
        (b"PROXY " + b"x" * 200, "its PROXY header does not end within 107 bytes"),
    ],
)
@pytest.mark.parametrize("tls", [False, True])
def test_what_has_no_header_is_refused(
    desk: Desk, caplog: pytest.LogCaptureFixture, said: bytes, why: str, tls: bool
) -> None:
    desk.desk.tls = tls
    peer = desk.connect(said)
    assert desk.admitted == []
    assert f"connection from load balancer {BALANCER} refused: {why}; switch" in caplog.text
    with suppress(ConnectionResetError):
        assert peer.recv(1) == b"", "something is answered"


def test_a_header_has_to_come_within_the_time_of_a_request(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    peer = desk.connect(b"PROXY TCP4 ")
    desk.now += 31
    desk.turn()
    assert peer.recv(1) == b""
    assert "it ended within its PROXY header (DUL network read timeout)" in caplog.text


def test_health_checks_make_no_line(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.connect().close()
    desk.turn()
    desk.connect(LOCAL).close()
    desk.turn()
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_a_balancer_has_no_share_of_half_open_connections(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontdesk, "MAX_PENDING_PER_PEER", 2)
    silent = [desk.connect() for _ in range(5)]
    half = [desk.connect(version_2("192.0.2.7") + REQUEST[:20]) for _ in range(3)]
    other = desk.connect(version_2("192.0.2.8") + REQUEST[:20])
    for peer in (*silent, *half[1:], other):
        peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.recv(1)
    assert half[0].recv(1) == b"", "the oldest of the peer that has too many goes"
    silent[0].sendall(version_1("192.0.2.9") + REQUEST)
    desk.turn()
    assert desk.who() == [("192.0.2.9", 4711)]
