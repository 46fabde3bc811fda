"""Senders store instances; three in ten are cut off in the middle by a reset, an abort, the end of the connection or a
release. Meanwhile the kernel (inotify) reports each new name to another process: the file must be complete at once, and
must never be written to afterwards.
"""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.programs.receivers import Start
from support.promises.inotify import MODIFY, Watch
from support.promises.other_receivers import Peer
from support.promises.promises import promise
from support.promises.senders import instance, is_complete
from support.promises.ways_to_disk import CONTEXTS
from support.protocol.pdus import RELEASE_RQ, pdu, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT

pytestmark = promise(3)

SENDERS = 4
ENDINGS = ("abort", "end", "release", "reset")


def cut_off(association: RawAssociation, how: str) -> None:
    if how == "abort":
        association.abort()
        return
    if how == "release":
        association.send(pdu(RELEASE_RQ, bytes(4)))
    if how == "reset":
        association.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    association.socket.close()


def send(port: int, sender: int, often: int, endings: tuple[str, ...]) -> int:
    """Send so many instances, three in ten of them not to the end; returns how many were cut off."""
    chance = random.Random(sender)
    association = RawAssociation(port, CONTEXTS)
    cut = 0
    for number in range(often):
        uid, data = instance(sender, number)
        if chance.random() < 0.7:
            assert association.store(CT, uid, data) == 0
            continue
        cut += 1
        association.request(store_rq(CT, uid), data[: chance.randrange(len(data))], last=False)
        cut_off(association, chance.choice(endings))
        association = RawAssociation(port, CONTEXTS)
    association.release()
    return cut


def send_and_watch(
    port: int, output: Path, often: int, senders: int = SENDERS, endings: tuple[str, ...] = ENDINGS
) -> tuple[int, int, set[str]]:
    """How many instances were sent to the end, how many were cut off, and the names of incomplete files."""
    partial: set[str] = set()
    named: set[str] = set()
    with Watch(output) as changes, ThreadPoolExecutor(senders) as pool:
        sending = [pool.submit(send, port, sender, often // senders, endings) for sender in range(senders)]
        is_over = False
        while not is_over:
            is_over = all(run.done() for run in sending)  # looked at first: what it has led to is there
            for mask, name in changes.events(0.1):
                if name.startswith("#"):  # the kernel's name for an unnamed file
                    continue
                named.add(name)
                if mask & MODIFY or not is_complete(output / name):
                    partial.add(name)
        cut = sum(run.result() for run in sending)
    return len(named - partial), cut, partial


def test_no_partial_file(ours: Start, count: Callable[[int, int], int], figure: Callable[[str], None]) -> None:
    receiver = ours("-pm")
    stored, cut, partial = send_and_watch(receiver.port, receiver.output, count(400, 10_000))
    assert partial == set()
    assert len(receiver.files()) == stored
    figure(f"{len(partial)} partial files, {stored} stored, {cut} cut off")


def test_partial_files_of_others(peer: Peer) -> None:
    receiver = peer.receiver
    stored, cut, partial = send_and_watch(receiver.port, receiver.output, 60, senders=1, endings=("end", "reset"))
    peer.does(f"{len(partial)} of {stored + len(partial)} files seen incomplete under their name ({cut} were cut off)")
