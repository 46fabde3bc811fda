"""The stream between the old and the new program."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from dcmrecv_core.net.upgrade.channel import FAILED, READY, YOURS, Channel


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, other = map(Channel, socket.socketpair())
    yield one, other
    one.close()
    other.close()


def test_messages_in_one_piece_and_in_many(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    assert other.receive() == {}
    one.send(READY, 4711)
    one.send(FAILED, "no such\nlibrary")
    assert other.receive() == {READY: 4711, FAILED: "no such\nlibrary"}
    for byte in b'{"ready": 1}':
        one.sock.send(bytes([byte]))
        assert other.receive() == {}
    one.sock.send(b"\n")
    assert other.receive() == {READY: 1}


def test_descriptors_go_with_a_message(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    reading, writing = os.pipe()
    one.send(YOURS, descriptors=(reading, writing))
    assert other.receive() == {YOURS: True}
    passed = other.take_descriptors()
    assert other.take_descriptors() == []
    os.write(passed[1], b"!")
    assert os.read(reading, 1) == b"!"
    for fd in (reading, writing, *passed):
        assert not os.get_inheritable(fd)
        os.close(fd)


def test_descriptors_that_nobody_takes_are_closed(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    reading, writing = os.pipe()
    one.send(YOURS, descriptors=(writing,))
    os.close(writing)
    assert other.receive() == {YOURS: True}
    other.close()
    assert os.read(reading, 1) == b"", "a copy is open"
    os.close(reading)


def test_a_message_before_the_end_is_not_lost(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    other.send(READY, 1)  # which nobody reads
    one.send(YOURS)
    one.close()
    assert other.receive() == {YOURS: True}
    assert other.receive() is None
    with pytest.raises(OSError, match="Broken pipe"):
        other.send(READY, 1)


def test_a_long_reason_is_cut(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    one.send(FAILED, "x" * 100_000)
    message = other.receive()
    assert message is not None
    assert message[FAILED] == "x" * 4000
