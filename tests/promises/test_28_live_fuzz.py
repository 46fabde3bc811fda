"""Mutants of a valid conversation, a fifth of them changed only where a PDU begins, a fifth in a presentation context
only, are sent through a proxy that splits, delays, dribbles, resets and half-closes connections, while other senders
store directly. The receiver's log shows dead workers and internal errors."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from support.data.datasets import instance_of
from support.data.stored_files import stored_file
from support.fuzz.mutants import mutated
from support.programs.receivers import Start
from support.promises.faulty_proxy import chaos
from support.promises.promises import promise
from support.protocol import pdus
from support.protocol.raw_sender import RawAssociation
from support.protocol.sample_conversation import CONVERSATION, REQUEST
from support.uids import CT, EXPLICIT_LE

pytestmark = [promise(28), pytest.mark.timeout(1200)]

AT_ONCE = 12
HEADS = 12
"""Bytes of the header of a P-DATA-TF and of its first PDV (PS3.8 9.3.5)."""

CONTEXT = 10
"""Where in these the presentation context is."""

UNHEARD = 0.2
"""Seconds that a mutant's sender waits for an answer before it goes."""

GOOD = {f"1.2.3.{number}": instance_of(CT, f"1.2.3.{number}") for number in range(20)}
MADE = instance_of(CT, "1.2.3.4.5.6")
SOUND = (CONVERSATION, REQUEST + pdus.store(1, MADE) + pdus.store(2, MADE[:-100]) + pdus.release_rq())
SIGNS = ("was killed by signal", "ended with exit code", "internal error", "Traceback")


def mutants(seed: int, often: int) -> list[bytes]:
    """A fifth change only what follows the request, another one only the headers of one PDU after it, and another one
    only the presentation context there."""
    chance = random.Random(seed)
    made = []
    for _ in range(often):
        sound = chance.choice(SOUND)
        start, end = 0, len(sound)
        match chance.randrange(5):
            case 0:
                start = len(REQUEST)
            case 1:
                start = chance.choice(begins(sound)[1:])
                end = start + HEADS
            case 2:
                at = chance.choice(begins(sound)[1:]) + CONTEXT
                made.append(sound[:at] + chance.randbytes(1) + sound[at + 1 :])
                continue
        made.append(sound[:start] + mutated(chance, sound[start:end]) + sound[end:])
    return made


def begins(stream: bytes) -> list[int]:
    """Where PDUs begin."""
    found = [0]
    while (end := found[-1] + 6 + int.from_bytes(stream[found[-1] + 2 : found[-1] + 6], "big")) < len(stream):
        found.append(end)
    return found


def throw(port: int, data: bytes) -> None:
    """Send it and read until nothing more comes."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=UNHEARD) as sock:
        sock.sendall(data)
        while sock.recv(65536):
            pass


def store_all_the_while(port: int, over: threading.Event) -> list[int | None]:
    """The statuses of a good sender, who opens one association after the other, from an address of his own: the others
    may have all places that one address may have."""
    statuses = []
    while not over.is_set():
        with RawAssociation(port, [(CT, [EXPLICIT_LE])], source="127.0.0.2") as association:
            for uid, data in GOOD.items():
                statuses.append(association.store(CT, uid, data))
            association.release()
    return statuses


def test_good_senders_are_not_affected(
    ours: Start, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    receiver = ours("-pm", "--no-fsync", "-ta", 5)
    often, over = count(400, 20_000), threading.Event()
    with chaos(receiver.port, seed=28) as port, ThreadPoolExecutor(AT_ONCE + 2) as pool:
        good = [pool.submit(store_all_the_while, receiver.port, over) for _ in range(2)]
        try:
            list(pool.map(lambda data: throw(port, data), mutants(28, often)))
        finally:
            over.set()
        statuses = [status for sender in good for status in sender.result()]
    assert statuses == [0] * len(statuses)
    assert [sign for sign in SIGNS if sign in receiver.log] == []
    for uid, data in GOOD.items():
        assert stored_file(receiver.output / f"CT.{uid}").data == data
    figure(f"{often} mutants, no worker died, {len(statuses)} of {len(statuses)} good instances with Success")
