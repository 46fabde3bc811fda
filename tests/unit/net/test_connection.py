"""The plain connection."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dcmrecv_core.net.connection import CALL_TIMEOUT, LINGER, PlainConnection

Pair = tuple[PlainConnection, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A connection and its peer, over TCP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname(), timeout=5)
        sock = listener.accept()[0]
    with sock, peer:
        yield PlainConnection(sock), peer


def receive(connection: PlainConnection, size: int = 100) -> bytes | None:
    memory = bytearray(size)
    count = connection.receive_into(memoryview(memory))
    return None if count is None else bytes(memory[:count])


def test_receiving(pair: Pair) -> None:
    connection, peer = pair
    peer.sendall(b"hello")
    connection.acknowledge()
    assert receive(connection) == b"hello"
    start = time.monotonic()
    assert receive(connection) is None
    assert CALL_TIMEOUT * 0.9 < time.monotonic() - start < CALL_TIMEOUT * 10
    peer.shutdown(socket.SHUT_WR)
    assert receive(connection) == b""


def test_waits_are_counted(pair: Pair) -> None:
    connection, peer = pair
    peer.sendall(b"at once")
    assert receive(connection) == b"at once"
    before = connection.waited
    assert receive(connection) is None
    assert connection.waited - before >= CALL_TIMEOUT * 0.9


def test_sending_never_waits(pair: Pair) -> None:
    connection, peer = pair
    sent = 0
    while count := connection.send(bytes(1 << 16)):
        sent += count
    assert connection.wait() == (False, False)
    assert not connection.wait_writable()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_exactly, peer, sent)
        while not (ready := connection.wait())[1]:
            continue
        assert ready == (False, True)
        assert connection.wait_writable()
        assert reading.result(10) == sent
    peer.sendall(b"x")
    assert read_until_readable(connection) == (True, True)


def test_a_reset_is_readable_and_raises(pair: Pair) -> None:
    connection, peer = pair
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    assert connection.wait()[0]
    with pytest.raises(ConnectionResetError):
        receive(connection)
    with pytest.raises(BrokenPipeError):
        connection.send(b"x")
    connection.finish()


def test_finish_waits_for_the_peer_to_close(pair: Pair) -> None:
    connection, peer = pair
    peer.sendall(bytes(100_000))  # unread: closing at once would reset the connection
    assert connection.send(b"last words") == 10
    with ThreadPoolExecutor(1) as pool:
        finishing = pool.submit(connection.finish, 60)
        assert peer.recv(100) == b"last words"
        assert peer.recv(100) == b""
        peer.close()
        finishing.result(10)


def test_finish_does_not_wait_long(pair: Pair) -> None:
    connection, peer = pair
    start = time.monotonic()
    connection.finish()
    assert LINGER * 0.9 < time.monotonic() - start < LINGER * 50
    assert peer.recv(100) == b""


def read_exactly(peer: socket.socket, size: int) -> int:
    left = size
    while left:
        left -= len(peer.recv(min(left, 1 << 20)))
    return size


def read_until_readable(connection: PlainConnection) -> tuple[bool, bool]:
    while not (ready := connection.wait())[0]:
        continue
    return ready
