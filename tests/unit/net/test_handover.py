"""A connection and its request reach the worker whole, however few bytes the socket pair takes at once."""

from __future__ import annotations

import os
import resource
import select
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dcmrecv_core.net.handover import PASSED_ON, Handover, HandoverSender, LostAssociation, hear, pass_on, receive

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def control() -> Iterator[Pair]:
    """The supervisor's end, which does not block, and the worker's."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    ours.setblocking(False)
    theirs.settimeout(10)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def connection() -> Iterator[Pair]:
    ours, peer = socket.socketpair()
    peer.settimeout(10)
    with ours, peer:
        yield ours, peer


@pytest.mark.parametrize("size", [74, 1 << 20], ids=["small", "largest"])
def test_connection_and_request_arrive(control: Pair, connection: Pair, size: int) -> None:
    ours, theirs = control
    sock, peer = connection
    request = os.urandom(size)
    sent = Handover(sock, request, "2001:db8::1", 65535)
    sender = HandoverSender(sent)
    waits = 0
    with ThreadPoolExecutor(1) as pool:
        received = pool.submit(receive, theirs)
        while not sender.advance(ours):
            waits += 1
            assert select.select([], [ours], [], 10)[1], "the worker does not read"
        arrived = received.result(10)
    assert arrived is not None
    assert (arrived.request, arrived.address, arrived.port) == (request, "2001:db8::1", 65535)
    assert bool(waits) == (size > 4096)
    sender.close()
    with arrived.sock:
        assert not arrived.sock.get_inheritable(), "a program that a plugin starts would hold the connection"
        arrived.sock.sendall(b"hello")
        assert peer.recv(100) == b"hello"
    assert peer.recv(100) == b"", "another process still holds the connection"


def test_one_after_the_other(control: Pair) -> None:
    ours, theirs = control
    for number in range(3):
        sock, peer = socket.socketpair()
        with peer:
            assert HandoverSender(Handover(sock, b"request %d" % number, "10.0.0.1", number)).advance(ours)
            arrived = receive(theirs)
            assert arrived is not None
            assert (arrived.request, arrived.port) == (b"request %d" % number, number)
            arrived.sock.close()
            sock.close()


def test_worker_that_ended_leaves_the_connection_for_another(control: Pair, connection: Pair) -> None:
    ours, theirs = control
    theirs.close()
    sender = HandoverSender(Handover(connection[0], b"request", "10.0.0.1", 1))
    with pytest.raises(OSError, match="Broken pipe"):
        sender.advance(ours)
    assert not sender.has_begun


def test_worker_that_ends_meanwhile_leaves_the_connection_too(control: Pair, connection: Pair) -> None:
    ours, theirs = control
    sender = HandoverSender(Handover(connection[0], bytes(1 << 20), "10.0.0.1", 1))
    assert not sender.advance(ours)
    assert sender.has_begun
    theirs.close()
    with pytest.raises(OSError, match="Broken pipe"):
        sender.advance(ours)
    connection[0].sendall(b"still here")
    assert connection[1].recv(100) == b"still here"


def test_supervisor_ended(control: Pair) -> None:
    ours, theirs = control
    ours.close()
    assert receive(theirs) is None


def test_supervisor_ends_meanwhile(control: Pair, connection: Pair) -> None:
    ours, theirs = control
    assert not HandoverSender(Handover(connection[0], bytes(1 << 20), "10.0.0.1", 1)).advance(ours)
    ours.close()
    with pytest.raises(ConnectionResetError):
        receive(theirs)
    connection[0].close()
    assert connection[1].recv(100) == b""


def test_no_descriptor_left_for_the_connection(control: Pair, connection: Pair) -> None:
    ours, theirs = control
    assert HandoverSender(Handover(connection[0], b"request", "10.0.0.1", 1)).advance(ours)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            receive(theirs)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("size", [1, 1 << 16], ids=["small", "largest"])
def test_a_lost_association_arrives(control: Pair, size: int) -> None:
    ours, theirs = control
    lost = LostAssociation(os.urandom(size))
    sender = HandoverSender(lost)
    with ThreadPoolExecutor(1) as pool:
        received = pool.submit(receive, theirs)
        while not sender.advance(ours):
            assert select.select([], [ours], [], 10)[1], "the worker does not read"
        assert received.result(10) == lost
    assert sender.is_done and sender.has_begun
    sender.close()


def test_a_connection_that_is_passed_on_is_not_inheritable(control: Pair, connection: Pair) -> None:
    ours, theirs = control
    pass_on(theirs, connection[0])
    messages, passed_on = hear(ours)
    assert messages == PASSED_ON
    assert passed_on is not None
    with passed_on:
        assert not passed_on.get_inheritable()
