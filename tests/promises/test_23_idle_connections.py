"""100 connections send nothing, three bytes, or a request without its last byte; then another peer sends a C-ECHO, five
times."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.programs.receivers import Start
from support.promises.echoes import WITHIN, echo_seconds, idle_connections, told
from support.promises.other_receivers import Peer
from support.promises.promises import promise
from support.protocol.pdus import associate_rq
from support.uids import CT, EXPLICIT_LE

pytestmark = promise(23)

IDLE = 100
REQUEST = associate_rq([(CT, [EXPLICIT_LE])])


@pytest.mark.parametrize("said", [b"", REQUEST[:3], REQUEST[:-1]], ids=["nothing", "3", "most"])
def test_idle(ours: Start, figure: Callable[[str], None], said: bytes) -> None:
    receiver = ours("-q", "-pm")
    with idle_connections(receiver.port, IDLE, said):
        seconds = [echo_seconds(receiver.port, timeout=2 * WITHIN) for _ in range(5)]
    assert max(seconds) < WITHIN
    figure(f"{1000 * max(seconds):.0f} ms at most beside {IDLE}")


def test_peers(peer: Peer) -> None:
    with idle_connections(peer.receiver.port, IDLE):
        peer.does(f"beside {IDLE} idle connections: {told(peer.receiver.port)}")
