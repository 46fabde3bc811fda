"""An instance is stored, then sent again with other content, and that fails: the connection is reset or aborted, the
disk (a tmpfs) is full, strace makes each system call in turn fail or kills the worker there. Then the stored copy is
read.

If the flush of the directory failed, the new, complete file may be there; the sender got A700. The same holds if the
worker was killed after the rename.
"""

from __future__ import annotations

import random
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.data.stored_files import stored_file
from support.programs.receivers import Receiver, Start
from support.promises.other_receivers import Peer
from support.promises.promises import promise
from support.promises.strace import FLUSHING
from support.promises.ways_to_disk import CONTEXTS, FILES, WAYS, Trial, again, large_again
from support.protocol.pdus import store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT

pytestmark = promise(6)

UID, OLD = again(0)
RESET = struct.pack("ii", 1, 0)


def store_first(receiver: Receiver) -> Path:
    with RawAssociation(receiver.port, CONTEXTS) as association:
        assert association.store(CT, UID, OLD) == 0
        association.release()
    [file] = [path for path in receiver.output.iterdir() if UID in path.name]
    return file


def resend_and_break_off(receiver: Receiver, chance: random.Random) -> None:
    """Reset or abort anywhere in a small or a large data set."""
    _, data = chance.choice((again, large_again))(chance.randrange(1, 50))
    with RawAssociation(receiver.port, CONTEXTS) as association:
        port = association.local_port
        association.request(store_rq(CT, UID), data[: chance.randrange(len(data))], last=False)
        if chance.random() < 0.5:
            association.abort()
        else:
            association.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    receiver.wait_until_over(port)


def test_broken_off(ours: Start, count: Callable[[int, int], int], figure: Callable[[str], None]) -> None:
    receiver = ours("-pm")
    file = store_first(receiver)
    chance = random.Random(6)
    often = count(20, 100)
    for _ in range(often):
        resend_and_break_off(receiver, chance)
        assert stored_file(file).data == OLD
    assert receiver.files() == [file.name]
    figure(f"broken off: 0 of {often} harmed")


@pytest.fixture
def small_disk(directory: Path) -> Iterator[Path]:
    """An output directory of 2 MiB, where the first receiver will store."""
    output = directory / "ours0" / "out"
    output.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", output], check=True)
    yield output
    subprocess.run(["umount", "--lazy", output], check=True)


def test_full_disk(
    ours: Start, small_disk: Path, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    receiver = ours("-pm")
    assert receiver.output == small_disk
    file = store_first(receiver)
    filler = small_disk / "filler"
    often = count(10, 50)
    for number in range(often):
        free = 4096 * (number % 8)  # small pieces may still fit
        fill(filler, free)
        _, data = large_again(number)
        with RawAssociation(receiver.port, CONTEXTS) as association:
            assert association.store(CT, UID, data) == 0xA700
            assert association.store(CT, UID, data[: len(data) // 3 * 2]) in (0xA700, 0xC000)
            association.release()
        assert stored_file(file).data == OLD
        filler.unlink()
    assert receiver.files() == [file.name]
    figure(f"full disk: 0 of {2 * often} harmed")


def fill(path: Path, but: int) -> None:
    """Use all free space `but` so many bytes."""
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            file.truncate(max(0, file.tell() - but))


@pytest.mark.parametrize("way", ["repeated", "repeated, replace-same", "hidden files, large, repeated"])
@pytest.mark.parametrize("fault", ["error=EIO", "signal=KILL"])
def test_each_call(
    ours: Start, directory: Path, count: Callable[[int, int], int], figure: Callable[[str], None], way: str, fault: str
) -> None:
    receiver = ours("-pm", *WAYS[way].arguments, files=FILES)
    trial = Trial(receiver, WAYS[way], directory / "trace")
    points = trial.points() * count(1, 3)
    failed = 0
    for name, number in points:
        old = trial.store_well().data
        done = trial.store(f"inject={name}:{fault}:when={number}")
        if done.status == 0:
            continue  # the call of a log line, or not reached this time
        failed += 1
        may_be_new = done.status is None or name in FLUSHING
        assert stored_file(done.path).data in ((old, done.data) if may_be_new else (old,))
        if done.status is None:
            trial.reconnect()
            trial.settle()
    trial.association.release()
    assert len(receiver.files()) == 1
    assert failed > len(points) / 2
    figure(f"{fault.partition('=')[2]}, {way}: 0 of {failed} harmed")


def test_others(peer: Peer) -> None:
    receiver = peer.receiver
    file = store_first(receiver)
    original = file.read_bytes()
    chance = random.Random(6)
    harmed = 0
    for _ in range(20):
        _, data = large_again(chance.randrange(50))
        with RawAssociation(receiver.port, CONTEXTS) as association:
            association.request(store_rq(CT, UID), data[: chance.randrange(len(data))], last=False)
            association.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        with RawAssociation(receiver.port, CONTEXTS) as association:  # served after the other one
            association.release()
        if not file.exists() or file.read_bytes() != original:
            harmed += 1
            store_first(receiver)
            original = file.read_bytes()
    peer.does(f"{harmed} of 20 stored copies harmed by a re-send that was reset")
