"""100 connections send nothing, three bytes, or a request without its last byte; then another peer sends a C-ECHO, five
times, and its request in two pieces, which is the front desk's to read."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

import pytest

from support.programs.receivers import Start
from support.promises.echoes import WITHIN, echo_seconds, idle_connections, told
from support.promises.other_receivers import Peer
from support.promises.promises import promise
from support.protocol.pdus import ASSOCIATE_AC, associate_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

pytestmark = promise(23)

IDLE = 100
REQUEST = associate_rq([(CT, [EXPLICIT_LE])])


def seconds_in_pieces(port: int) -> float:
    """Until the answer to a request of which the second half comes 50 ms after the first."""
    start = time.monotonic()
    with RawAssociation(port, timeout=2 * WITHIN) as association:
        association.send(REQUEST[: len(REQUEST) // 2])
        assert not select.select([association.socket], [], [], 0.05)[0]
        association.send(REQUEST[len(REQUEST) // 2 :])
        assert association.read_pdu()[0] == ASSOCIATE_AC
    return time.monotonic() - start


@pytest.mark.parametrize("said", [b"", REQUEST[:3], REQUEST[:-1]], ids=["nothing", "3", "most"])
def test_idle(ours: Start, figure: Callable[[str], None], said: bytes) -> None:
    receiver = ours("-q", "-pm")
    with idle_connections(receiver.port, IDLE, said):
        seconds = [echo_seconds(receiver.port, timeout=2 * WITHIN) for _ in range(5)]
        seconds.append(seconds_in_pieces(receiver.port))
    assert max(seconds) < WITHIN
    figure(f"{1000 * max(seconds):.0f} ms at most beside {IDLE}")


def test_peers(peer: Peer) -> None:
    with idle_connections(peer.receiver.port, IDLE):
        peer.does(f"beside {IDLE} idle connections: {told(peer.receiver.port)}")
