"""A conversation with one of everything, and checks that hold for any mutant of its bytes."""

from __future__ import annotations

import random
import struct
from itertools import pairwise

from support.protocol import pdus
from support.protocol.acceptor_runs import Run
from support.protocol.pdus import P_DATA, item, pdu, pdv
from support.uids import CT

USER = [
    *pdus.USER,
    item(0x53, struct.pack(">HH", 0, 0)),
    item(0x54, pdus.counted(CT), b"\1\1"),
    item(0x56, pdus.counted(CT), b"\1\0"),
    item(0x58, b"\2\1", pdus.counted("joe"), pdus.counted("pw")),
]
REQUEST = pdus.request(user=USER)
CONVERSATION = (
    REQUEST
    + pdus.echo(1)
    + pdus.store(2, bytes(300))
    + pdu(P_DATA, pdv(3, 1, b"") + pdv(3, 3, pdus.command_set(pdus.STORE_RQ)) + pdv(3, 0, b"ab") + pdv(3, 2, b"c"))
    + pdus.message(3, {0x0100: 0x0020, 0x0110: 3, 0x0800: 1}, b"query")
    + pdus.message(3, {0x0100: 0x0FFF, 0x0120: 3, 0x0800: 0x0101})
    + pdus.release_rq()
)


def survives(stream: bytes, rng: random.Random, *, strict: bool = False) -> None:
    """The result is the same whole and in pieces; answers are well-formed PDUs; nothing follows the end."""
    whole = Run(strict=strict).feed_all([stream])
    cuts = [0]
    while cuts[-1] < len(stream):
        cuts.append(cuts[-1] + rng.randint(1, 200))
    pieces = Run(rng.randint(16, 400), strict=strict).feed_all(stream[start:end] for start, end in pairwise(cuts))
    assert pieces.outcome == whole.outcome
    kinds = [kind for kind, _ in pdus.read_pdus(whole.sent)]
    assert set(kinds) <= {pdus.ASSOCIATE_AC, pdus.ASSOCIATE_RJ, pdus.P_DATA, pdus.RELEASE_RP, pdus.ABORT}
    assert kinds.count(pdus.ABORT) <= 2
    whole.eof()
    assert whole.acceptor.state == 1
    assert whole.acceptor.next_event() is None
