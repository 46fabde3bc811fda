"""A conversation with one of everything, and what has to hold whatever became of its bytes."""

from __future__ import annotations

import random
import struct
from itertools import pairwise

from support.protocol import pdus as wire
from support.protocol.acceptor_runs import Run
from support.protocol.pdus import P_DATA, item, pdu, pdv

USER = [
    *wire.DEFAULT_USER,
    item(0x53, struct.pack(">HH", 0, 0)),
    item(0x54, wire.counted(wire.CT), b"\1\1"),
    item(0x56, wire.counted(wire.CT), b"\1\0"),
    item(0x58, b"\2\1", wire.counted("joe"), wire.counted("pw")),
]
REQUEST = wire.request(user=USER)
CONVERSATION = (
    REQUEST
    + wire.echo(1)
    + wire.store(2, bytes(300))
    + pdu(P_DATA, pdv(3, 1, b"") + pdv(3, 3, wire.command(wire.store_elements())) + pdv(3, 0, b"ab") + pdv(3, 2, b"c"))
    + wire.message(3, {0x0100: 0x0020, 0x0110: 3, 0x0800: 1}, b"query")
    + wire.message(3, {0x0100: 0x0FFF, 0x0120: 3, 0x0800: 0x0101})
    + wire.release_rq()
)


def survives(stream: bytes, rng: random.Random, *, strict: bool = False) -> None:
    """Whole and in pieces it comes to the same; the answers are well-formed PDUs; the end is the end."""
    whole = Run(strict=strict).feed_all([stream])
    cuts = [0]
    while cuts[-1] < len(stream):
        cuts.append(cuts[-1] + rng.randint(1, 200))
    pieces = Run(rng.randint(16, 400), strict=strict).feed_all(stream[start:end] for start, end in pairwise(cuts))
    assert pieces.outcome == whole.outcome
    kinds = [kind for kind, _ in wire.pdus(whole.sent)]
    assert set(kinds) <= {wire.AC, wire.RJ, wire.P_DATA, wire.RELEASE_RP, wire.ABORT}
    assert kinds.count(wire.ABORT) <= 2
    whole.eof()
    assert whole.acceptor.state == 1
    assert whole.acceptor.next_event() is None
