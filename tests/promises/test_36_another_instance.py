"""One to eight senders store up to six instances under one name by a layout or a plugin, some of them several times
with other content, through two receivers that write to one directory; the data sets are read, lack their UID, cannot be
read (`+B`), are all equal, or repeat one wrong UID. In half the cases files are moved away and names swapped meanwhile.
Then each acknowledged instance must be in a whole file, one file for each, except where files were moved.

Files with one wrong UID are not moved, because only their names tell them apart. Which instance has the plain name
cannot be told, so the one that replaces it elsewhere is kept beside it.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from dcmrecv_core.storage.system_calls import rename_exchange
from support.data.datasets import element, identification, pixel_data
from support.data.stored_files import stored_file
from support.programs.receivers import Receiver, Start
from support.promises.promises import promise
from support.promises.threads import beside
from support.promises.ways_to_disk import CONTEXTS, FILES, HIDDEN
from support.protocol.raw_sender import RawAssociation
from support.uids import CT

pytestmark = promise(36)

PLUGIN = """\
from dcmrecv_core import Name, hookimpl

@hookimpl
def choose_subdir(instance):
    return instance.association.calling_ae_title

@hookimpl
def choose_filename(instance):
    return {name}
"""
WRITER = """
@hookimpl
def write(instance, path):
    return instance.save(path)
"""
PLUGINS = {
    **FILES,
    "plain.py": PLUGIN.format(name='"x" * 251 + ".dcm"'),
    "writer.py": PLUGIN.format(name='"image"') + WRITER,
}
LAYOUT = ("--layout", "{calling_ae_title}/{PatientID}.dcm")

NAMINGS = {
    "layout": LAYOUT,
    "layout, +B": ("+B", *LAYOUT),
    "layout, keep": ("--on-duplicate", "keep", *LAYOUT),
    "layout, hidden files": (*HIDDEN, *LAYOUT),
    "plugin, longest name": ("--plugin", "plain", "-fe", ".x"),
    "plugin that writes": ("--plugin", "writer"),
}
WRONG = "1.2.999"
KINDS: dict[str, Callable[[str, int], bytes]] = {
    "readable": lambda uid, version: identification(CT, uid, b"%08d" % version) + pixel_data(),
    "large": lambda uid, version: identification(CT, uid, b"%08d" % version) + pixel_data(5 << 18),
    "without its UID": lambda uid, version: element(0x00100010, "PN", f"{uid} {version}".encode()) + pixel_data(),
    "all equal": lambda uid, version: element(0x00100010, "PN", b"Doe") + pixel_data(),
    "one wrong UID": lambda uid, version: (
        identification(CT, WRONG, b"%08d" % version) + element(0x00104000, "LT", uid.encode()) + pixel_data()
    ),
}
REPEATING = KINDS["one wrong UID"]
UNREADABLE: dict[str, Callable[[str, int], bytes]] = {
    "broken": lambda uid, version: b"\x10\0\x10\0PN\xff\xff" + f"{uid} {version}".encode(),
    "broken, all equal": lambda uid, version: b"\x10\0\x10\0PN\xff\xffDoe",
}


class Case(NamedTuple):
    """What happens in one directory; `sent`: for each sender the UIDs and versions that it sends."""

    name: str
    sent: list[list[tuple[str, int]]]
    data: Callable[[str, int], bytes]
    moving: bool


def case_of(number: int, kinds: list[Callable[[str, int], bytes]], chance: random.Random) -> Case:
    uids = [f"1.2.{number}.{one}" for one in range(chance.randint(1, 6))]
    senders = chance.randint(1, 8)
    sent = [[(chance.choice(uids), 0) for _ in range(chance.randint(1, 4))] for _ in range(senders)]
    versions = iter(range(1, 1000))
    sent = [[(uid, next(versions)) for uid, _ in one] for one in sent]
    # instances too large for memory take most of the time, so they are rare
    data = KINDS["large"] if chance.random() < 0.05 else chance.choice(kinds)
    return Case(f"CASE{number}", sent, data, data is not REPEATING and chance.random() < 0.5)


@contextmanager
def moving(place: Path, chance: random.Random) -> Iterator[None]:
    """Meanwhile files are moved to a directory below, and names of two files swapped; none is lost by that."""
    place.mkdir()
    aside = place / "moved"
    aside.mkdir()

    def move(over: threading.Event) -> None:
        fd = os.open(place, os.O_RDONLY)
        number = 0
        while not over.wait(0.0005):
            names = [name for name in os.listdir(place) if name != "moved"]
            with suppress(FileNotFoundError):
                if len(names) > 1 and chance.random() < 0.9:
                    rename_exchange(fd, names[0], fd, names[-1])
                elif names:
                    os.rename(place / chance.choice(names), aside / str(number))
                    number += 1
        os.close(fd)

    with beside(move):
        yield


def acknowledged(case: Case, receivers: list[Receiver]) -> list[tuple[str, int]]:
    """All senders send at the same time; returns what was answered with Success."""
    together = threading.Barrier(len(case.sent), timeout=20)

    def send(number: int) -> list[tuple[str, int]]:
        port = receivers[number % len(receivers)].port
        with RawAssociation(port, CONTEXTS, calling=case.name) as association:
            together.wait()
            statuses = [association.store(CT, uid, case.data(uid, version)) for uid, version in case.sent[number]]
            association.release()
        assert set(statuses) <= {0, 0xA700}
        return [sent for sent, status in zip(case.sent[number], statuses, strict=True) if status == 0]

    with ThreadPoolExecutor(len(case.sent)) as pool:
        return [one for done in pool.map(send, range(len(case.sent))) for one in done]


def files(place: Path) -> list[tuple[str, bytes]]:
    """UID in File Meta Information, and data set, of each."""
    stored = [stored_file(path) for path in place.rglob("*") if path.is_file()]
    return [(one.meta[0x00020003][1].rstrip(b"\0").decode(), one.data) for one in stored]


def check(case: Case, done: list[tuple[str, int]], place: Path) -> None:
    found = files(place)
    repeats = case.data is REPEATING
    sent = {(WRONG if repeats else uid, case.data(uid, version)): uid for one in case.sent for uid, version in one}
    assert set(found) <= set(sent), "it was not sent"
    missing = {uid for uid, _ in done} - {sent[one] for one in found}
    assert not missing, f"acknowledged, but missing: {missing}"
    if not case.moving:
        assert len(done) == sum(map(len, case.sent))
        assert len(found) - len({uid for uid, _ in done}) in ((0, 1) if repeats else (0,))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("naming", NAMINGS)
def test_fault_2_nothing_acknowledged_is_replaced_by_another_instance(
    ours: Start, naming: str, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    options = ("-pm", "--no-fsync", *NAMINGS[naming], "--max-associations", "18")
    first = ours(*options, files=PLUGINS)
    receivers = [first, ours(*options, "-od", first.output, files=PLUGINS)]
    kinds = [KINDS["readable"], KINDS["without its UID"], KINDS["all equal"]]
    kinds += UNREADABLE.values() if "+B" in options else [REPEATING]  # `+B` takes the command's UID
    chance = random.Random(naming)
    cases = count(8, 350)
    for number in range(cases):
        case = case_of(number, kinds, chance)
        place = first.output / case.name
        with ExitStack() as stack:
            if case.moving:
                stack.enter_context(moving(place, chance))
            done = acknowledged(case, receivers)
        check(case, done, place)
    given_back = sum(receiver.log.count(" meanwhile, which is ") for receiver in receivers)
    figure(f"{naming}: 0 of {cases} cases with an instance missing, {given_back} came under a name meanwhile")
