"""100 peers keep their socket open after a release, a rejection or an abort, by them or by us; four workers have served
them all. Then another peer sends a C-ECHO, five times."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from support.programs.receivers import Start
from support.promises.echoes import WITHIN, echo_seconds, told
from support.promises.other_receivers import Peer
from support.promises.promises import promise
from support.protocol.pdus import ABORT, ASSOCIATE_RJ, RELEASE_RP, RELEASE_RQ, associate_rq, pdu
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

pytestmark = promise(35)

OPEN = 100
CONTEXTS = [(CT, [EXPLICIT_LE])]


def released(association: RawAssociation) -> None:
    association.send(associate_rq(CONTEXTS))
    association.read_pdu()
    association.send(pdu(RELEASE_RQ, bytes(4)))
    assert association.read_pdu()[0] == RELEASE_RP


def aborted(association: RawAssociation) -> None:
    association.send(associate_rq(CONTEXTS))
    association.read_pdu()
    association.send(pdu(ABORT, bytes(4)))


def aborted_by_us(association: RawAssociation) -> None:
    association.send(associate_rq(CONTEXTS))
    association.read_pdu()
    association.send(pdu(99, bytes(4)))
    assert association.read_pdu()[0] == ABORT


def rejected(association: RawAssociation) -> None:
    association.send(associate_rq([("1.2.3.4", [EXPLICIT_LE])]))
    assert association.read_pdu()[0] == ASSOCIATE_RJ


def not_asked(association: RawAssociation) -> None:
    association.send(pdu(ABORT, bytes(4)))


@pytest.mark.parametrize("end", [released, aborted, aborted_by_us, rejected, not_asked])
def test_open(
    ours: Start, figure: Callable[[str], None], config: object, end: Callable[[RawAssociation], None]
) -> None:
    receiver = ours("-q", "-xf", config, "default", "--max-associations", 4)
    with contextlib.ExitStack() as stack:
        for _ in range(OPEN):
            end(stack.enter_context(RawAssociation(receiver.port)))
        seconds = [echo_seconds(receiver.port, timeout=2 * WITHIN) for _ in range(5)]
    assert max(seconds) < WITHIN
    figure(f"{end.__name__}: C-ECHO after {1000 * max(seconds):.0f} ms at most")


def test_peers(peer: Peer) -> None:
    with RawAssociation(peer.receiver.port) as association:
        released(association)
        peer.does(f"beside a peer that keeps its socket open after release: {told(peer.receiver.port)}")
