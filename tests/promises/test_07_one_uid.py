"""Sixteen senders repeatedly store different data sets under one SOP Instance UID at the same moment, small ones and
ones too large for memory, with unnamed files (O_TMPFILE) and without. The file must always be exactly one of the
acknowledged ones.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from support.data.datasets import identification, pixel_data
from support.data.stored_files import stored_file
from support.programs.receivers import Start
from support.promises.promises import promise
from support.promises.ways_to_disk import CONTEXTS, FILES, HIDDEN
from support.protocol.raw_sender import RawAssociation
from support.uids import CT

pytestmark = promise(7)

SENDERS = 16


def data_of(uid: str, sender: int) -> bytes:
    """A sender's data set, longer than the previous sender's; that of every eighth is too large for memory."""
    size = 5 << 18 if sender % 8 == 7 else 4096
    return identification(CT, uid, b"%08d" % sender) + pixel_data(size + 256 * sender)


@pytest.mark.parametrize("options", [(), HIDDEN], ids=["unnamed files", "hidden files"])
def test_one_of_the_acknowledged(
    ours: Start, count: Callable[[int, int], int], figure: Callable[[str], None], options: tuple[str, ...]
) -> None:
    receiver = ours("-pm", *options, files=FILES)
    rounds = count(10, 100)
    together = Barrier(SENDERS, timeout=20)

    def store(association: RawAssociation, uid: str, sender: int) -> int | None:
        together.wait()
        return association.store(CT, uid, data_of(uid, sender))

    with contextlib.ExitStack() as stack:
        associations = [stack.enter_context(RawAssociation(receiver.port, CONTEXTS)) for _ in range(SENDERS)]
        pool = stack.enter_context(ThreadPoolExecutor(SENDERS))
        for number in range(rounds):
            uid = f"1.2.3.{number}"
            runs = [pool.submit(store, association, uid, sender) for sender, association in enumerate(associations)]
            statuses = [run.result() for run in runs]
            acknowledged = [data_of(uid, sender) for sender, status in enumerate(statuses) if status == 0]
            assert len(acknowledged) == SENDERS
            assert acknowledged.count(stored_file(receiver.output / f"CT.{uid}").data) == 1
        for association in associations:
            association.release()
    assert len(receiver.files()) == rounds
    figure(f"{rounds} of {rounds} rounds")
