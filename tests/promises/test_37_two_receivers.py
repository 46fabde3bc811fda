"""Two receivers run in two PID namespaces with one host name, as two containers do, and store into one directory, with
unnamed files (O_TMPFILE) and without. While four senders store, and send some instances again, either receiver is
killed (SIGKILL), or told to end, and started again at random moments; then each stored file is compared with what was
sent. Both also receive halves of large instances at the same time in processes with the same number.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dcmrecv_core.testing.receivers import until
from support.data.datasets import identification, pixel_data
from support.data.stored_files import stored_file
from support.promises.containers import Container
from support.promises.promises import promise
from support.promises.senders import check, sending
from support.promises.ways_to_disk import CONTEXTS, FILES, HIDDEN
from support.protocol.pdus import data_pdus, status_of, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT

pytestmark = promise(37)

KINDS = {"unnamed": (), "hidden": HIDDEN}
LARGE = 3 << 20
Pair = tuple[Container, Container]


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest, program: Path, directory: Path) -> Iterator[Pair]:
    """Two receivers that are not started yet, on the directory `out`."""
    (directory / "out").mkdir()
    options = ("-pm", *KINDS[request.param])
    first, second = (
        Container(program, directory / name, directory / "out", *options, files=FILES) for name in ("first", "second")
    )
    yield first, second
    first.end()
    second.end()


def begin(container: Container, stack: ExitStack, uid: str) -> tuple[RawAssociation, bytes, bytes]:
    """An association on which half of a large instance has been sent; the other half; all of the data set."""
    data = identification(CT, uid) + pixel_data(LARGE)
    association = stack.enter_context(RawAssociation(container.port, CONTEXTS))
    association.request(store_rq(CT, uid), data[: LARGE // 2], last=False)
    return association, data[LARGE // 2 :], data


def finish(association: RawAssociation, rest: bytes) -> int | None:
    for piece in data_pdus(1, [rest], is_command=False):
        association.send(piece)
    return status_of(association.response())


def test_fault_1_same_numbers_in_both(pair: Pair, directory: Path, figure: Callable[[str], None]) -> None:
    """The second starts while the first receives, then receives as well; each acknowledges its own instances."""
    with ExitStack() as stack:
        halves = {}
        for number, container in enumerate(pair):
            container.start()
            for worker in range(2):  # both processes that a start makes
                uid = f"1.2.{number}.{worker}"
                halves[uid] = begin(container, stack, uid)
        statuses = {uid: finish(association, rest) for uid, (association, rest, _) in halves.items()}
    stored = {uid: directory / "out" / f"CT.{uid}" for uid, status in statuses.items() if status == 0}
    assert [uid for uid, path in stored.items() if stored_file(path).data != halves[uid][2]] == []
    assert set(statuses.values()) == {0}
    figure(f"0 of {len(stored)} large instances mixed up")
    for container in pair:
        assert container.stop() == 0, container.log


def test_killed_and_started_again(
    pair: Pair, directory: Path, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    chance = random.Random(37)
    for container in pair:
        container.start()
    first, second = pair
    wanted, ends = count(100, 1000), count(3, 30)
    with (
        sending(first.port, 2, again=(1,)) as to_first,
        sending(second.port, 2, first=2, again=(1,)) as to_second,
    ):
        senders = [*to_first, *to_second]
        for number in range(ends):
            time.sleep(chance.uniform(0, 0.3))
            victim = chance.choice(pair)
            if number % 4 == 3:
                assert victim.stop() == 0, victim.log
            else:
                victim.kill()
            victim.start()
        until(lambda: sum(len(sender.acknowledged) for sender in senders) >= wanted, "enough is stored", 300)
    acknowledged, others = check(senders, directory / "out")
    for container in pair:
        assert container.stop() == 0, container.log
    figure(f"{ends} ends: 0 of {acknowledged} wrong, torn or missing, {others} others absent or complete")
