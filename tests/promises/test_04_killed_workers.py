"""Workers are killed (SIGKILL) at random moments while four senders store, at each system call of a store in turn, and
right after an answer. Then the files are checked, and the time until the sender is served again is measured. One time
of twenty may be longer, because the machine may be busy.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dcmrecv_core.testing import until
from support.data.stored_files import stored_file
from support.programs.receivers import Receiver, Start
from support.promises.promises import promise
from support.promises.senders import Sender, check, sending
from support.promises.ways_to_disk import FILES, WAYS, Trial

pytestmark = promise(4)

WITHIN = 1.0


def kill_worker_of(receiver: Receiver, sender: Sender) -> float:
    """Kill the sender's worker; returns the seconds until it is served and all workers are there again."""
    worker = receiver.worker_serving(sender.local_port)
    pool = len(receiver.workers())
    start = time.monotonic()
    os.kill(worker, signal.SIGKILL)
    until(lambda: worker not in receiver.workers(), "the worker is gone")
    before = len(sender.acknowledged)
    until(lambda: len(sender.acknowledged) > before, "another one serves", log=lambda: receiver.log)
    until(lambda: len(receiver.workers()) >= pool, "it is replaced", log=lambda: receiver.log)
    return time.monotonic() - start


def test_killed_at_random_moments(ours: Start, count: Callable[[int, int], int], figure: Callable[[str], None]) -> None:
    chance = random.Random(4)
    receiver = ours("-pm")
    kills = count(20, 200)
    with sending(receiver.port, 4) as senders:
        seconds: list[float] = []
        for _ in range(kills):
            time.sleep(chance.uniform(0, 0.03))
            seconds.append(kill_worker_of(receiver, chance.choice(senders)))
            assert sum(each >= WITHIN for each in seconds) <= kills // 20, seconds
    acknowledged, others = check(senders, receiver.output)
    figure(
        f"{kills} kills: 0 of {acknowledged} lost, {others} others absent or complete, replaced in {max(seconds):.2f} s"
    )


def check_killed_after_the_answer(trial: Trial) -> None:
    """It can do nothing more for the instance: the answer stops it, and then it is killed."""
    done = trial.store("inject=sendto:signal=STOP:when=1")
    trial.kill()
    assert done.status == 0
    assert stored_file(done.path).data == done.data
    trial.reconnect()
    trial.settle()


@pytest.mark.parametrize(
    "way", ["large", "repeated", "repeated, replace-same", "new directories", "hidden files, large, repeated"]
)
def test_killed_at_each_call(ours: Start, directory: Path, figure: Callable[[str], None], way: str) -> None:
    receiver = ours("-pm", *WAYS[way].arguments, files=FILES)
    trial = Trial(receiver, WAYS[way], directory / "trace")
    points = trial.points()
    check_killed_after_the_answer(trial)
    kills = 0
    for name, number in points:
        before = trial.store_well()
        done = trial.store(f"inject={name}:signal=KILL:when={number}")
        if done.status is None:
            kills += 1
            found = stored_file(done.path).data if done.path.exists() else None
            assert found in (done.data, before.data if done.path == before.path else None)
            trial.reconnect()
            trial.settle()
    trial.association.release()
    assert kills >= len(points) - 2
    figure(f"{way}: killed at each of {kills} calls")
