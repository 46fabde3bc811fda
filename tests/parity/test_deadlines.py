"""Peers that are silent, stop half-way or keep their connection open: how long both programs wait for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from support.parity.answers import Aborted, Accepted, Answer, Closed, Rejected, Released, next_answer
from support.parity.messages import DATA, PROPOSAL, command, data
from support.parity.proposals import context, request
from support.parity.rules import Row, by_rule, compare
from support.programs.receivers import Receiver
from support.protocol.pdus import RELEASE_RQ, pdu
from support.protocol.raw_sender import RawAssociation
from support.uids import FIND

LIMITS = ("-ta", "1", "-td", "1")
PATIENCE = 2.5
"""Seconds after which DCMTK dcmrecv is taken to wait on; its other reactions take less than one."""

DEADLINE = 20.0
WAITS = "nothing more"

Steps = tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting(Row):
    """Pieces to send, each after the answer to the one before; the last answer is compared, then the peer stays.

    With `beside`, an association that was opened before stays open meanwhile. `patience` is for DCMTK dcmrecv.
    """

    kind: ClassVar[str] = "deadline"
    steps: Steps
    arguments: tuple[str, ...] = LIMITS
    beside: bool = False
    patience: float = DEADLINE


RELEASE = pdu(RELEASE_RQ, bytes(4))
SAYS_WHY = "Ours aborts as service provider (PS3.8 9.3.8), because no user decided it."
FREE = "Ours closes the connection, so that a peer that stays does not hold up others."
ALL_OF_IT = "Ours applies the deadline to incomplete requests and messages, too."

ROWS = (
    Waiting(rule="-ta ends a silent connection", steps=(b"",)),
    Waiting(rule="-ta ends an unfinished PDU header", steps=(b"\1\0\0",)),
    Waiting(
        rule="-ta ends an unfinished request",
        steps=(PROPOSAL[:100],),
        patience=PATIENCE,
        differs=ALL_OF_IT,
        ours=Closed(),
        theirs=WAITS,
    ),
    Waiting(
        rule="-td ends an idle association",
        steps=(PROPOSAL, b""),
        differs=SAYS_WHY,
        ours=Aborted(2, 0),
        theirs=Aborted(0, 0),
    ),
    Waiting(
        rule="-td ends an idle message",
        steps=(PROPOSAL, command() + data(DATA[:100], last=False)),
        differs=SAYS_WHY,
        ours=Aborted(2, 0),
        theirs=Aborted(0, 0),
    ),
    Waiting(
        rule="-td ends an unfinished PDU",
        steps=(PROPOSAL, command() + data()[:100]),
        patience=PATIENCE,
        differs=ALL_OF_IT,
        ours=Aborted(2, 0),
        theirs=WAITS,
    ),
    Waiting(
        rule="connection after a release",
        steps=(PROPOSAL, RELEASE, b""),
        arguments=(),
        patience=0.5,
        differs=FREE,
        ours=Closed(),
        theirs=WAITS,
    ),
    Waiting(
        rule="connection after a rejection",
        steps=(request(context(1, FIND)), b""),
        arguments=(),
        patience=0.5,
        differs=FREE,
        ours=Closed(),
        theirs=WAITS,
    ),
    Waiting(
        rule="connection after an abort by the receiver",
        steps=(PROPOSAL, data(), b""),
        arguments=(),
        patience=0.5,
        differs=FREE,
        ours=Closed(),
        theirs=WAITS,
    ),
    Waiting(
        rule="second sender at a time",
        steps=(request(),),
        arguments=(),
        beside=True,
        patience=0.5,
        differs="Ours serves many senders at once (--max-associations), DCMTK dcmrecv one at a time.",
        ours=Accepted(),
        theirs=WAITS,
    ),
)


@by_rule(ROWS)
def test_deadline(row: Waiting, profiles: Path, both: Callable[..., Any]) -> None:
    ours, original = both("-xf", profiles, "Default", *row.arguments)
    compare(row, _last_answer(ours, row, DEADLINE), _last_answer(original, row, row.patience))


def _last_answer(receiver: Receiver, row: Waiting, patience: float) -> Answer | str:
    if not row.beside:
        return _ask(receiver, row.steps, patience)
    with RawAssociation(receiver.port) as first:
        first.send(PROPOSAL)
        assert isinstance(next_answer(first), Accepted)
        return _ask(receiver, row.steps, patience)


def _ask(receiver: Receiver, steps: Steps, patience: float) -> Answer | str:
    with RawAssociation(receiver.port) as association:
        for step in steps[:-1]:
            association.send(step)
            assert isinstance(next_answer(association), Accepted | Rejected | Released | Aborted)
        association.socket.settimeout(patience)
        association.send(steps[-1])
        try:
            return next_answer(association)
        except TimeoutError:
            return WAITS
