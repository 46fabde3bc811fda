"""The system calls of two workers that store the same instances at the same time are recorded, and played to a model of
a disk; after each of them the power fails, and of all that was not flushed any part is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from disk import Disk, Entry, File, Name, events
from promises import promise
from rawscu import RawAssociation
from receivers import Start
from samples import CT
from syscalls import FLUSHING, NAMING, Call, parse, traced
from ways import CONTEXTS, FILES, WAYS, Way

pytestmark = promise(2)


def losses(calls: list[Call]) -> tuple[int, list[str]]:
    """How many states a power cut may leave of acknowledged instances, and what is wrong with some of them."""
    disk = Disk()
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
        for name, number in acknowledged.items():
            for entry in disk.entries[name]:
                certain = entry.content.certain if isinstance(entry.content, File) else 0
                found.append((call, name, entry, certain))
                if entry.number < number:
                    wrong.append(f"{name} is missing or old at {call}")
            wrong += [f"{name}: {lost} is missing at {call}" for lost in missing_above(disk, name[0])]
    for call, name, entry, certain in found:
        if not isinstance(entry.content, File) or certain < entry.content.written:
            wrong.append(f"{name} is torn at {call}")
    return len(found), wrong


def missing_above(disk: Disk, directory: str) -> Iterator[str]:
    """The directories, from this one up, that may be gone."""
    while directory:
        parent, _, name = directory.rpartition("/")
        if any(entry.content is None for entry in disk.entries.get((parent, name), ())):
            yield directory
        directory = parent


def store_all(association: RawAssociation, way: Way, often: int) -> list[int | None]:
    return [association.store(CT, *way.instance(number)) for number in range(often)]


def record(ours: Start, trace: Path, way: Way, often: int) -> list[Call]:
    """The calls of two workers that store the same instances at the same time."""
    receiver = ours("-pm", *way.arguments, files=FILES)
    with (
        RawAssociation(receiver.port, CONTEXTS) as first,
        RawAssociation(receiver.port, CONTEXTS) as second,
        ThreadPoolExecutor(2) as pool,
    ):
        workers = [receiver.worker_serving(association.local_port) for association in (first, second)]
        with traced(workers, trace):
            runs = [pool.submit(store_all, association, way, often) for association in (first, second)]
            assert [run.result() for run in runs] == [[0] * often] * 2
    calls = parse(trace)
    assert sum(call.is_response for call in calls) >= 2 * often - 2  # strace may have missed the last
    return calls


@pytest.mark.parametrize("way", WAYS)
def test_no_state_loses_anything(
    ours: Start, directory: Path, count: Callable[[int, int], int], figure: Callable[[str], None], way: str
) -> None:
    calls = record(ours, directory / "trace", WAYS[way], count(8, 40))
    states, wrong = losses(calls)
    assert wrong == []
    figure(f"{way}: 0 of {states} states")


@pytest.mark.parametrize("lost", ["file", "directory", "new directory"])
def test_the_model_finds_what_is_not_flushed(ours: Start, directory: Path, lost: str) -> None:
    calls = record(ours, directory / "trace", WAYS["new directories"], 2)
    kinds = {"file": "/#", "directory": "/CT>", "new directory": "/out>"}
    lossy = [call for call in calls if call.name not in FLUSHING or kinds[lost] not in call.arguments]
    assert len(lossy) < len(calls)
    assert losses(lossy)[1] != []
