"""The front desk with TLS: it waits for a ClientHello and does not read it."""

from __future__ import annotations

import selectors
import socket
import struct
from collections.abc import Iterator

import pytest

from dcmrecv_core.net.handover import Handover
from dcmrecv_core.net.supervisor.frontdesk import FrontDesk
from dcmrecv_core.net.supervisor.listener import Listeners

HELLO = struct.pack(">BHH", 22, 0x0301, 100) + bytes(100)


class Desk:
    """A front desk with TLS and a real TCP connection, because of SO_RCVLOWAT."""

    def __init__(self) -> None:
        self.admitted: list[Handover] = []
        self.selector = selectors.DefaultSelector()
        self.desk = FrontDesk(self.selector, Listeners([]), 30.0, self.admitted.append)
        self.desk.tls = True
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.peer = socket.create_connection(listener.getsockname(), timeout=5)
            ours, (address, port) = listener.accept()
        self.desk.add_connection(ours, address, port, 1000.0)

    def turn(self) -> int:
        """Handle what is ready soon; returns the number of events."""
        ready = self.selector.select(0.05)
        for key, _ in ready:
            key.data(key.fileobj, 1000.0)
        return len(ready)

    def say(self, data: bytes) -> None:
        self.peer.sendall(data)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.desk.close()
    made.selector.close()
    made.peer.close()
    for handover in made.admitted:
        handover.sock.close()


def test_a_slow_client_hello_does_not_wake_the_loop_and_is_left_to_the_worker(desk: Desk) -> None:
    for byte in HELLO[:4]:
        desk.say(bytes([byte]))
        assert desk.turn() == 0
    desk.say(HELLO[4:5])
    assert desk.turn() == 1
    for byte in HELLO[5:-1:10]:
        desk.say(bytes([byte]))
        assert desk.turn() == 0, "the loop would spin"
    assert desk.admitted == []


def test_a_whole_client_hello_is_admitted_unread(desk: Desk) -> None:
    desk.say(HELLO)
    while not desk.admitted:
        assert desk.turn() == 1
    [handover] = desk.admitted
    assert (handover.request, handover.tls_deadline) == (b"", 1030.0)
    assert handover.sock.recv(1000) == HELLO
    assert handover.sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1


@pytest.mark.parametrize("said", [b"\x16", HELLO[:-1]])
def test_a_peer_that_closes_is_dropped(desk: Desk, said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    desk.say(said)
    desk.turn()
    desk.peer.close()
    while desk.turn():
        pass
    assert desk.desk.tick(1000.0) is None
    assert "TLS error: unexpected eof while reading" in caplog.text


def test_fault_20_half_a_client_hello_is_late_and_no_foreign_protocol(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.say(HELLO[:-1])
    desk.turn()
    desk.desk.tick(1031.0)
    assert caplog.messages == ["Could not receive association request: DUL network read timeout\n  from 127.0.0.1"]


def test_fault_20_a_silent_peer_is_logged_for_debugging_only(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    desk.desk.tick(1031.0)
    assert caplog.messages[-1].endswith(" ended without a byte: DUL network read timeout")
    assert {record.levelname for record in caplog.records} == {"DEBUG"}
