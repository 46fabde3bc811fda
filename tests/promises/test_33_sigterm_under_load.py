"""SIGTERM while four senders store and one is in the middle of 4 MiB, which the receiver has read so far. That one
goes on after the signal for 4 s, in later rounds for a tenth of a second, and gets Success; the acknowledged
instances of the others are compared."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

from dcmrecv_core.testing import until
from support.data.datasets import identification, pixel_data_header
from support.data.stored_files import stored_file
from support.programs.receivers import Receiver, Start
from support.promises.processes import unread
from support.promises.promises import promise
from support.promises.senders import check, sending
from support.protocol.pdus import data_pdus, status_of, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

pytestmark = promise(33)

UID = "1.2.9.9"
HALF = 2 << 20
PIECES = 50
LONG, SHORT = 4.0, 0.1
"""Seconds for the other half: less than the 7 that a peer has to finish its instance, and none to speak of."""

WITHIN = 9.0
"""Seconds to the end."""


def test_sigterm(ours: Start, count: Callable[[int, int], int], figure: Callable[[str], None]) -> None:
    chance = random.Random(33)
    rounds, stored, longest = count(4, 50), 0, 0.0
    for number in range(rounds):
        receiver = ours("-q", "-pm")
        acknowledged, seconds = stopped_under_load(receiver, chance.uniform(0, 0.1), SHORT if number else LONG)
        stored += acknowledged
        longest = max(longest, seconds)
    figure(f"{rounds} times exit code 0, after {longest:.1f} s at most, 0 of {stored} acknowledged lost")


def stopped_under_load(receiver: Receiver, delay: float, rest: float) -> tuple[int, float]:
    """How many instances were acknowledged, and how long the end took after the instance under way, whose other half
    takes `rest` seconds."""
    head = identification(CT, UID) + pixel_data_header(2 * HALF)
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as under_way:
        under_way.request(store_rq(CT, UID), [head, bytes(HALF)], last=False)
        with sending(receiver.port, 4) as senders:
            until(lambda: not unread(receiver, under_way.local_port), "what was sent is read")
            time.sleep(delay)
            receiver.process.send_signal(signal.SIGTERM)
            for _ in range(PIECES):
                for piece in data_pdus(1, [bytes(HALF // PIECES)], is_command=False, last=False):
                    under_way.send(piece)
                time.sleep(rest / PIECES)
            for piece in data_pdus(1, [bytes(HALF % PIECES)], is_command=False):
                under_way.send(piece)
            start = time.monotonic()
            assert status_of(under_way.response()) == 0
            assert receiver.process.wait(WITHIN) == 0
            seconds = time.monotonic() - start
    assert not any(sender.wrong for sender in senders)
    file = receiver.output / f"CT.{UID}"
    assert stored_file(file).data == head + bytes(2 * HALF)
    file.unlink()
    return 1 + check(senders, receiver.output)[0], seconds
