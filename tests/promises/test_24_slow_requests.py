"""With `-ta 2`, slow requests: one byte a second, one byte every 50 ms, and most of one at once. The test allows a
second more, for a busy machine."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from support.programs.receivers import Start
from support.promises.other_receivers import Peer
from support.promises.promises import promise
from support.protocol.pdus import associate_rq
from support.uids import CT, EXPLICIT_LE

pytestmark = promise(24)

SECONDS = 2
MARGIN = 1.0
PATIENCE = 15.0
"""Seconds to wait for other receivers."""

REQUEST = associate_rq([(CT, [EXPLICIT_LE])])


def open_for(port: int, pieces: Iterator[bytes], pause: float, patience: float = PATIENCE) -> float | None:
    """How long the connection stays open while the pieces come; None if that is longer than we wait."""
    start = time.monotonic()  # the receiver may be quicker than we are after the connection
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        while (passed := time.monotonic() - start) < patience:
            try:
                sock.sendall(next(pieces, b""))
                if select.select([sock], [], [], pause)[0] and not sock.recv(100):
                    return time.monotonic() - start
            except ConnectionError:
                return passed
    return None


@pytest.mark.parametrize(
    ("first", "pause"), [(0, 1.0), (0, 0.05), (len(REQUEST) - 1, 1.0)], ids=["a second", "50 ms", "most"]
)
def test_trickle(ours: Start, figure: Callable[[str], None], first: int, pause: float) -> None:
    receiver = ours("-q", "-pm", "-ta", SECONDS)
    # the last byte never comes
    pieces = iter([REQUEST[:first], *(bytes([byte]) for byte in REQUEST[first:-1])])
    seconds = open_for(receiver.port, pieces, pause, 2 * SECONDS)
    assert seconds is not None and SECONDS - 0.1 <= seconds < SECONDS + MARGIN
    figure(f"closed {1000 * abs(seconds - SECONDS):.0f} ms from the deadline")


def test_peers(peer: Peer) -> None:
    """Their time-outs are what they are by default."""
    seconds = open_for(peer.receiver.port, (bytes([byte]) for byte in REQUEST[:-1]), 1.0)
    peer.does("keeps a request of one byte a second " + (f"{seconds:.0f} s" if seconds else f"over {PATIENCE:.0f} s"))
