"""A plugin does what each instance tells it: it raises, exits, hangs, forks, uses up memory. Meanwhile a sender that
was connected before goes on storing, and a new one is served within a second.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from dcmrecv_core.testing import until
from support.data.datasets import element, identification, instance_of, pixel_data
from support.programs.environment import write_files
from support.programs.receivers import Receiver, start_ours
from support.promises.promises import promise
from support.protocol.pdus import status_of, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, VERIFICATION

pytestmark = promise(32)

Count = Callable[[int, int], int]
Figure = Callable[[str], None]

PLUGIN = """
import ctypes, multiprocessing, os, signal, subprocess, sys, time
from dcmrecv_core import hookimpl

EATEN = []

def raises(): raise RuntimeError("out of order")
def raises_what_cannot_be_shown(): raise Mute
def exits(): sys.exit("leaving")
def stops_iterating(): raise GeneratorExit
def interrupts(): raise KeyboardInterrupt
def loops():
    while True: pass
def sleeps(): time.sleep(60)
def eats(): b"x" * (1 << 40)
def eats_slowly():
    mine = []
    while True: mine.append(bytes(1 << 20))
def eats_crumbs():
    mine = []
    while True: mine += map(float, range(10000))
def keeps_what_it_eats():
    while True: EATEN.append(bytes(1 << 20))

def swallows():
    while True:
        try: time.sleep(60)
        except BaseException: pass
def is_in_foreign_code(): sum(range(1 << 50))
def vanishes(): os._exit(0)
def crashes(): ctypes.string_at(0)
def kills_itself(): os.kill(os.getpid(), signal.SIGKILL)

def forks():
    if not os.fork():
        open("copy", "w").close()
        time.sleep(60)
    assert os.wait()[1]
def forks_by_library():
    child = multiprocessing.get_context("fork").Process(target=open, args=("copy", "w"))
    child.start()
    child.join()
def runs_a_program(): subprocess.run(["true"], check=True)

class Mute(Exception):
    def __str__(self): raise ValueError
    __repr__ = __str__

@hookimpl
def receive(instance):
    name = instance.get("StudyID")
    if name:
        globals()[name]()
"""

FAIL = [
    "raises",
    "raises_what_cannot_be_shown",
    "exits",
    "stops_iterating",
    "interrupts",
    "loops",
    "sleeps",
    "eats",
    "eats_slowly",
    "eats_crumbs",
    "keeps_what_it_eats",
]
DIE = ["swallows", "is_in_foreign_code", "vanishes", "crashes", "kills_itself"]
GO_ON = ["forks", "forks_by_library", "runs_a_program"]

CONTEXTS = [(CT, [EXPLICIT_LE]), (VERIFICATION, [IMPLICIT_LE])]
SPARE = 2
"""Idle workers that are kept beside the busy ones."""
PROCESSING_FAILURE = 0x0110
OUT_OF_RESOURCES = 0xA700
HOOK_SECONDS = 2
EATING_SECONDS = 60
"""For the hooks that use up memory: on a busy machine that takes them seconds."""
GIVEN_UP_AFTER = 8.0
"""Seconds: the time of a hook, one for the tick that measures it, two for it to yield, one to be noticed, two more on a
busy machine."""


Start = Callable[[int], Receiver]


@pytest.fixture(scope="module")
def start(program: Path) -> Iterator[Start]:
    """A receiver whose hooks may take so many seconds, the same one for the same number."""
    with ExitStack() as stack:

        @cache
        def started(hook_seconds: int) -> Receiver:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dcmrecv-")))
            write_files(home, {"hostile.py": PLUGIN})
            limits = ("--hook-timeout", hook_seconds, "--worker-memory", "128M")
            receiver = start_ours(program, home, "-pm", "--no-fsync", "--plugin", "./hostile.py", *limits)
            stack.callback(end, receiver)
            return receiver

        yield started


def end(receiver: Receiver) -> None:
    assert receiver.end() == 0, receiver.log


@pytest.fixture
def receiver(start: Start) -> Receiver:
    return start(HOOK_SECONDS)


class Beside:
    """A sender independent of the others: it stores all the time."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.association = RawAssociation(receiver.port, CONTEXTS)
        self.stored = 0

    def __enter__(self) -> Beside:
        return self

    def __exit__(self, *error: object) -> None:
        self.association.release()

    def is_served(self) -> None:
        begin = time.monotonic()
        self.stored += 1
        uid = f"1.9.{self.stored}"
        assert self.association.store(CT, uid, instance_of(CT, uid)) == 0
        with RawAssociation(self.receiver.port, CONTEXTS) as other:
            assert other.echo(context_id=3) == 0
            other.release()
        assert time.monotonic() - begin < 1


def hostile_instance(name: str) -> tuple[str, bytes]:
    uid = f"1.2.{int.from_bytes(name.encode()[:16])}"
    return uid, identification(CT, uid) + element(0x00200010, "SH", name.encode()) + pixel_data()


def begin(association: RawAssociation, name: str) -> None:
    uid, data = hostile_instance(name)
    association.request(store_rq(CT, uid), data)


def files(receiver: Receiver) -> list[str]:
    return [name for name in receiver.files() if not name.startswith("CT.1.9.")]


@pytest.mark.parametrize("name", FAIL)
def test_the_instance_is_refused(start: Start, name: str, count: Count, figure: Figure) -> None:
    receiver = start(EATING_SECONDS if "eats" in name else HOOK_SECONDS)
    before = files(receiver)
    for _ in range(count(1, 10)):
        with RawAssociation(receiver.port, CONTEXTS) as association, Beside(receiver) as beside:
            worker = receiver.worker_serving(association.local_port)
            started = time.monotonic()
            begin(association, name)
            beside.is_served()
            response = association.response()
            status = status_of(response)
            # without memory even the guard may fail: then the core refuses, and the log names no plugin
            assert status == PROCESSING_FAILURE or ("eats" in name and status == OUT_OF_RESOURCES)
            assert 0 < len(response[0x0902].rstrip()) <= 64
            assert time.monotonic() - started < (EATING_SECONDS if "eats" in name else GIVEN_UP_AFTER)
            assert files(receiver) == before
            assert status == OUT_OF_RESOURCES or f"SOP instance {hostile_instance(name)[0]})" in receiver.log
            assert association.echo(context_id=3) == 0
            association.release()
            if "eats" in name:
                until(lambda worker=worker: worker not in receiver.workers(), "the worker is replaced")
            beside.is_served()
    figure(f"{len(FAIL)} ways to fail: 0110, the association goes on")


@pytest.mark.parametrize("name", DIE)
def test_the_worker_ends(receiver: Receiver, name: str, count: Count, figure: Figure) -> None:
    before = files(receiver)
    for _ in range(count(1, 10)):
        with RawAssociation(receiver.port, CONTEXTS) as association, Beside(receiver) as beside:
            worker = receiver.worker_serving(association.local_port)
            started = time.monotonic()
            begin(association, name)
            if name in ("swallows", "is_in_foreign_code"):
                beside.is_served()
            assert association.read_pdu() == (0, b"")
            ended = time.monotonic()
            assert ended - started < GIVEN_UP_AFTER
            beside.is_served()
            until(lambda worker=worker: len(receiver.workers() - {worker}) > SPARE, "as many as ever are there")
            assert time.monotonic() - ended < 1
    assert files(receiver) == before
    figure(f"{len(DIE)} ways to die: the connection ends, another worker within a second")


@pytest.mark.parametrize("name", GO_ON)
def test_a_copy_ends_at_once(receiver: Receiver, name: str, figure: Figure) -> None:
    uid, data = hostile_instance(name)
    with RawAssociation(receiver.port, CONTEXTS) as association, Beside(receiver) as beside:
        worker = receiver.worker_serving(association.local_port)
        assert association.store(CT, uid, data) == 0
        assert not (receiver.directory / "copy").exists()
        children = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
        assert [pid for pid in children if "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()] == []
        assert association.echo(context_id=3) == 0
        association.release()
        beside.is_served()
    assert f"CT.{uid}" in receiver.files()
    figure("0 copies lived")
