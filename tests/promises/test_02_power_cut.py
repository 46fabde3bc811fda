"""The system calls of two workers that store the same instances at the same time are recorded and applied to a model of
a disk. After each call the power fails, and any part of the data that was not flushed is lost. Where image files can be
mounted, the image of the file system is also copied at random moments while senders store, and the copy is checked.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from dcmrecv_core.testing import until
from support.programs.receivers import Start
from support.promises.disk_image import KINDS, Image
from support.promises.other_receivers import Peer
from support.promises.power_cut import Disk, Entry, File, Name, events
from support.promises.promises import promise
from support.promises.senders import Sender, check, is_complete, sending
from support.promises.strace import FLUSHING, NAMING, WRITING_OUT, Call, parse, traced
from support.promises.ways_to_disk import FILES, WAYS, Way, connect
from support.protocol.raw_sender import RawAssociation
from support.uids import CT

pytestmark = promise(2)


def losses(calls: list[Call]) -> tuple[int, list[str]]:
    """How many states of acknowledged instances a power cut may leave, and the losses in some of them."""
    disk = Disk(has_journal=any(call.name == WRITING_OUT for call in calls))
    given: dict[int, tuple[Name, int]] = {}
    acknowledged: dict[Name, int] = {}
    found: list[tuple[Call, Name, Entry, int]] = []
    wrong = []
    for begins, call in events(calls):
        if begins:
            disk.begin(call)
            if call.is_response:
                name, number = given[call.pid]
                acknowledged[name] = max(number, acknowledged.get(name, number))
        else:
            disk.end(call)
            if call.name in NAMING and not call.error and not call.naming[3].startswith(".dcmrecv"):
                name = call.naming[2:]
                given[call.pid] = (name, disk.entries[name][-1].number)
            elif call.name in FLUSHING and not call.error:  # a file with the same content, which is kept
                directory, _, file = call.path.rpartition("/")
                entries = disk.entries.get((directory, file), [])
                if not directory.endswith("/.dcmrecv/tmp") and entries and isinstance(entries[-1].content, File):
                    given[call.pid] = ((directory, file), entries[-1].number)
        for name, number in acknowledged.items():
            for entry in disk.entries[name]:
                certain = disk.certain(entry.content) if isinstance(entry.content, File) else 0
                found.append((call, name, entry, certain))
                if entry.number < number:
                    wrong.append(f"{name} is missing or old at {call}")
            wrong += [f"{name}: {lost} is missing at {call}" for lost in missing_above(disk, name[0])]
    for call, name, entry, certain in found:
        if not isinstance(entry.content, File) or certain < entry.content.written:
            wrong.append(f"{name} is torn at {call}")
    return len(found), wrong


def missing_above(disk: Disk, directory: str) -> Iterator[str]:
    """The directories, from this one up, that may be lost."""
    while directory:
        parent, _, name = directory.rpartition("/")
        if any(entry.content is None for entry in disk.entries.get((parent, name), ())):
            yield directory
        directory = parent


def store_all(association: RawAssociation, way: Way, often: int) -> list[int | None]:
    return [association.store(CT, *way.instance(number)) for number in range(1, often + 1)]


def record(
    ours: Start, trace: Path, way: Way, often: int, option: str = "--strict-fsync", senders: int = 2
) -> list[Call]:
    """The calls of so many workers that store the same instances at the same time."""
    receiver = ours("-pm", option, *way.arguments, files=FILES)
    with ExitStack() as stack:
        connected = [connect(receiver, way) for _ in range(senders)]
        associations = [stack.enter_context(association) for association, _ in connected]
        pool = stack.enter_context(ThreadPoolExecutor(senders))
        stack.enter_context(traced([worker for _, worker in connected], trace))
        runs = [pool.submit(store_all, association, way, often) for association in associations]
        assert [run.result() for run in runs] == [[0] * often] * senders
    calls = parse(trace)
    assert sum(call.is_response for call in calls) >= senders * (often - 1)  # strace may have missed the last one
    return calls


@pytest.mark.parametrize("option", ["--fsync", "--strict-fsync"])
@pytest.mark.parametrize("way", WAYS)
def test_no_state_loses_anything(
    ours: Start,
    directory: Path,
    image: Callable[..., Image],
    count: Callable[[int, int], int],
    figure: Callable[[str], None],
    way: str,
    option: str,
) -> None:
    image(directory / "ours0" / "out")
    calls = record(ours, directory / "trace", WAYS[way], count(6, 40), option)
    states, wrong = losses(calls)
    assert wrong == []
    figure(f"{way}, {option}: 0 of {states} states")


@pytest.mark.parametrize("lost", ["file", "directory", "new directory"])
def test_the_model_finds_what_is_not_flushed(ours: Start, directory: Path, lost: str) -> None:
    """Of one worker: a second one flushes the file of the first, if it finds that in time."""
    calls = record(ours, directory / "trace", WAYS["new directories"], 2, senders=1)
    kinds = {"file": "/#", "directory": "/CT>", "new directory": "/out>"}
    lossy = [call for call in calls if call.name not in FLUSHING or kinds[lost] not in call.arguments]
    assert len(lossy) < len(calls)
    assert losses(lossy)[1] != []


@pytest.mark.parametrize("kind", KINDS)
def test_image_file(
    ours: Start,
    directory: Path,
    image: Callable[..., Image],
    count: Callable[[int, int], int],
    figure: Callable[[str], None],
    kind: str,
) -> None:
    disk = image(directory / "ours0" / "out", kind)
    receiver = ours("-pm")
    assert receiver.output == disk.place
    chance = random.Random(2)
    everybody: list[Sender] = []
    acknowledged = 0
    cuts = count(1, 20)
    for _ in range(cuts):
        with sending(receiver.port, 4, first=len(everybody)) as senders:
            everybody += senders
            time.sleep(chance.uniform(0, 0.2))
            with disk.after_power_cut(receiver) as found:
                acknowledged, _ = check(everybody, found)
    figure(f"{kind}, {cuts} power cuts: 0 of {acknowledged} lost")


def test_image_file_of_others(peer: Peer, image: Callable[..., Image]) -> None:
    disk = image(peer.receiver.output)
    with sending(peer.receiver.port, 1) as [sender]:
        until(lambda: len(sender.acknowledged) >= 20, "20 instances are stored")
        with disk.after_power_cut(peer.receiver) as found:
            names = [f"CT.{uid}" for uid in sender.acknowledged]
            lost = sum(not is_complete(found / name) for name in names)
    peer.does(f"power cut: {lost} of {len(names)} acknowledged instances lost or torn")
