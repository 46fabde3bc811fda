"""Associations end one after the other: released, aborted, cut off in a data set, rejected; others end before they
begin: without a byte, within the request. Memory and descriptors of
the supervisor, and of each worker while it lives, are compared after a fifth of the associations and from then on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, cycle, islice
from pathlib import Path

import pytest

from dcmrecv_core.testing import until
from support.data.datasets import instance_of
from support.programs.receivers import Receiver, Start
from support.promises.processes import MEGABYTE, descriptors, own_memory, zombies
from support.promises.promises import promise
from support.protocol.pdus import associate_rq, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

pytestmark = [promise(26), pytest.mark.timeout(300)]

CONTEXTS = [(CT, [EXPLICIT_LE])]
DATA = instance_of(CT, "1.2.3")
GROWTH = MEGABYTE
STEP = 100
FEW = 15
"""Descriptors of workers and connections that come and go; one lost in fifty associations would be more."""
WARM = 2  # samples of a worker, in which caches fill


def released(port: int) -> None:
    with RawAssociation(port, CONTEXTS) as association:
        assert association.store(CT, "1.2.3", DATA) == 0
        association.release()


def aborted(port: int) -> None:
    with RawAssociation(port, CONTEXTS) as association:
        association.abort()


def cut_off(port: int) -> None:
    with RawAssociation(port, CONTEXTS) as association:
        association.request(store_rq(CT, "1.2.4"), DATA[:100], last=False)


def rejected(port: int) -> None:
    with RawAssociation(port) as association:
        association.send(associate_rq([("1.2.3.4", [EXPLICIT_LE])]))
        association.read_pdu()


def never_asked(port: int) -> None:
    with RawAssociation(port) as association:
        association.send(b"GET / HTTP/1.1\r\n\r\n")


def silent(port: int) -> None:
    with RawAssociation(port):
        pass


def cut_off_request(port: int) -> None:
    with RawAssociation(port) as association:
        association.send(associate_rq(CONTEXTS)[:100])


ENDINGS = (released, released, aborted, cut_off, rejected, never_asked, silent, cut_off_request)


def held(receiver: Receiver) -> dict[int, tuple[int, int]]:
    """Memory and descriptors of each process that lives long enough to be measured."""
    found = {}
    for pid in {receiver.process.pid, *receiver.workers()}:
        try:
            found[pid] = (own_memory(pid), descriptors(pid))
        except (FileNotFoundError, ProcessLookupError, ValueError):  # a worker that was to be replaced has ended
            continue
    return found


def test_nothing_grows(
    ours: Start, config: Path, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    receiver = ours("-ll", "fatal", "-xf", config, "default", "--no-fsync", "--recycle-after", count(400, 1000))
    samples = []
    number = count(1000, 10_000)
    for done, ending in enumerate(islice(cycle(ENDINGS), number), start=1):
        ending(receiver.port)
        if done % STEP == 0 and done >= number // 5:
            samples.append(held(receiver))
    supervisor = receiver.process.pid
    by_process = {pid: [sample[pid] for sample in samples if pid in sample] for pid in {*chain(*samples)}}
    grown = {pid: growth(sizes if pid == supervisor else sizes[WARM:]) for pid, sizes in by_process.items()}
    assert grown[supervisor][0] < GROWTH
    assert max(memory for memory, _ in grown.values()) < 2 * GROWTH
    assert max(opened for _, opened in grown.values()) <= FEW
    until(lambda: not zombies(receiver), "no zombies")
    workers = max(memory for pid, (memory, _) in grown.items() if pid != supervisor)
    figure(f"{number}: supervisor {grown[supervisor][0] // 1024} KB more, workers {workers // 1024} KB, no zombies")


def growth(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    """Of memory and descriptors, from the first sample to the highest one."""
    if not sizes:
        return 0, 0
    return max(memory for memory, _ in sizes) - sizes[0][0], max(opened for _, opened in sizes) - sizes[0][1]
