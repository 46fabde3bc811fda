"""A sender stores some instances, then leaves at a random byte of the next: it closes, closes one side, resets, aborts
or releases. Complete instances must be stored, and answered as long as the sender reads; there must be no other file.
Another sender sends several instances at once and is gone before the first answer: all of them must be stored.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from dcmrecv_core.testing import until
from support.data.datasets import element, identification
from support.data.stored_files import stored_file
from support.parity.answers import Released, Response, next_answer
from support.programs.receivers import Receiver, Start
from support.promises.promises import promise
from support.protocol.pdus import ABORT, RELEASE_RQ, command_set, data_pdus, pdu, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

pytestmark = [promise(19), pytest.mark.timeout(600)]

SPOOLED = 3 << 20
"""Larger than the memory for a data set."""

WAYS = ("fin", "half-close", "reset", "abort", "release")
READ_TO_THE_END = ("half-close", "release")


def instance(uid: str, size: int) -> bytes:
    return identification(CT, uid) + element(0x7FE00010, "OW", bytes(size))


def message(uid: str, size: int) -> bytes:
    pieces = [
        *data_pdus(1, [command_set(store_rq(CT, uid))], is_command=True),
        *data_pdus(1, [instance(uid, size)], is_command=False),
    ]
    return b"".join(pieces)


def boundary(sent: bytes, at: int) -> int:
    """The end of the PDU at `at`: only there a PDU of another kind can follow."""
    end = 0
    while end < at:
        end += 6 + int.from_bytes(sent[end + 2 : end + 6], "big")
    return end


def leave(association: RawAssociation, way: str) -> list[int]:
    """The statuses of the responses to an association that ends in this way, as far as they can be read."""
    if way == "reset":
        association.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif way == "half-close":
        association.socket.shutdown(socket.SHUT_WR)
    elif way == "abort":
        association.send(pdu(ABORT, bytes(4)))
    elif way == "release":
        association.send(pdu(RELEASE_RQ, bytes(4)))
    statuses = []
    if way in READ_TO_THE_END:
        while isinstance(answer := next_answer(association), Response):
            statuses.append(answer.status)
        assert (way == "release") == isinstance(answer, Released)
    return statuses


def interrupt(receiver: Receiver, way: str, complete: list[str], rest: bytes) -> None:
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        for uid in complete:
            association.send(message(uid, 1000))
        if way not in READ_TO_THE_END:  # its answers show what it has read for certain
            assert [association.response()[0x0900] for _ in complete] == [b"\0\0"] * len(complete)
        association.send(rest)
        statuses = leave(association, way)
    assert not statuses or statuses == [0] * len(complete)
    if way in READ_TO_THE_END:
        assert len(statuses) == len(complete)
    receiver.wait_until_over(association.local_port)


@pytest.mark.parametrize("mode", ["-B", "+B"])
def test_nothing_but_what_is_complete(
    ours: Start, mode: str, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    receiver = ours("-pm", "--no-fsync", mode)
    rng = random.Random(19)
    rounds = count(40, 500)
    for number in range(rounds):
        way = WAYS[number % len(WAYS)]
        complete = [f"1.2.{number}.{part}" for part in range(rng.randrange(4))]
        sent = message(f"1.2.{number}.9", SPOOLED if number % 4 == 0 else 5000)
        at = rng.randrange(1, len(sent) if rng.random() < 0.5 else 300)
        if way in ("abort", "release"):
            at = boundary(sent, min(at, len(sent) - 20_000))
        interrupt(receiver, way, complete, sent[:at])
        check_files(receiver, complete)
    residue = list((receiver.output / ".dcmrecv" / "tmp").rglob("*"))
    assert residue == []
    figure(f"{rounds} interrupted associations in each of 2 modes, nothing lost, nothing left over")


@pytest.mark.parametrize("mode", ["-B", "+B"])
def test_a_sender_that_is_gone_before_the_answers(ours: Start, mode: str) -> None:
    """The first answer meets a closed socket, so the next cannot be sent: all that was sent before is stored."""
    receiver = ours("-pm", "--no-fsync", mode)
    uids = [f"1.2.3.{number}" for number in range(20)]
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        assert association.store(CT, "1.2.3", instance("1.2.3", 1000)) == 0
        worker = receiver.worker_serving(association.local_port)
        os.kill(worker, signal.SIGSTOP)  # it answers nothing before everything has come, and the end
        try:
            for uid in uids:
                association.send(message(uid, 1000))
            association.socket.close()
        finally:
            os.kill(worker, signal.SIGCONT)
    wait_for_files(receiver, ["1.2.3", *uids])


def wait_for_files(receiver: Receiver, uids: list[str]) -> None:
    """After a reset the connection is gone before its worker has stored what it has read."""
    names = sorted(f"CT.{uid}" for uid in uids)
    until(
        lambda: receiver.files() == names,
        f"{names} are stored, and nothing else",
        10,
        log=lambda: str(receiver.files()),
    )


def check_files(receiver: Receiver, complete: list[str]) -> None:
    wait_for_files(receiver, complete)
    for uid in complete:
        path: Path = receiver.output / f"CT.{uid}"
        assert stored_file(path).data == instance(uid, 1000)
        path.unlink()
