"""SIGTERM while a data set is being received: whether it is lost, and which files remain."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dcmrecv_core.testing import until
from support.parity.answers import Accepted, Closed, Response, next_answer
from support.parity.messages import BIT_PRESERVING, DATA, NAME, PROPOSAL, command, data
from support.parity.rules import Row, by_rule, compare
from support.programs.receivers import Receiver, Start
from support.protocol.raw_sender import RawAssociation


@dataclass(frozen=True, kw_only=True, slots=True)
class Stopped(Row):
    """Arguments of the programs. The outcome: the status that the sender gets; whether each file is complete."""

    kind: ClassVar[str] = "stop while receiving"
    arguments: tuple[str, ...]


FINISHES = "Ours finishes the instances that are being received before it ends."
STORED = (0x0000, {NAME: True})

ROWS = (
    Stopped(rule="SIGTERM inside a data set", arguments=(), differs=FINISHES, ours=STORED, theirs=(None, {})),
    Stopped(
        rule="SIGTERM inside a data set, bit preserving",
        arguments=BIT_PRESERVING,
        differs=FINISHES,
        ours=STORED,
        theirs=(None, {NAME: False}),
    ),
)


@by_rule(ROWS)
def test_stop(row: Stopped, ours: Start, original: Start, profiles: Path) -> None:
    arguments = ("-v", "-xf", profiles, "Default", *row.arguments)
    compare(row, _outcome(ours(*arguments)), _outcome(original(*arguments), len(row.theirs[1])))


def _outcome(receiver: Receiver, begun: int = 0) -> tuple[int | None, dict[str, bool]]:
    """`begun` files are there while the data set is received."""
    with RawAssociation(receiver.port) as association:
        association.send(PROPOSAL)
        assert isinstance(next_answer(association), Accepted)
        association.send(command() + data(DATA[:100], last=False))
        receiver.wait_for_log("Received C-STORE Request")
        until(lambda: len(receiver.files()) == begun, f"{begun} files")
        receiver.process.send_signal(signal.SIGTERM)
        try:
            association.send(data(DATA[100:]))
            answer = next_answer(association)
        except OSError:  # reset
            answer = Closed()
    assert receiver.process.wait(20) == receiver.clean_exit
    complete = {name: (receiver.output / name).read_bytes().endswith(DATA) for name in receiver.files()}
    return answer.status if isinstance(answer, Response) else None, complete
