"""The old program's side of an upgrade, with a new program that is a few lines."""

from __future__ import annotations

import os
import selectors
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dcmrecv_core.net.child import reap_ended
from dcmrecv_core.net.upgrade.program import Passed, Program
from dcmrecv_core.net.upgrade.successor import READY_SECONDS, TAKE_SECONDS, Phase, Successor

# The test runner may have threads; forking is safe as long as the child runs our code only
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

HEAD = """\
import json, os, socket, sys, time
channel = socket.socket(fileno=json.loads(os.environ["DCMRECV_UPGRADE"])["channel"])
def say(kind, value=True):
    channel.sendall(json.dumps({kind: value}).encode() + b"\\n")
def wait():
    while data := channel.recv(1000):
        if b"yours" in data:
            return
    sys.exit("the other program has ended")
def stay():
    while channel.recv(1000):
        pass
"""
SERVES = HEAD + "say('ready', os.getpid())\nwait()\nsay('taken')\nstay()\n"
NEVER_READY = HEAD + "stay()\n"
NEVER_TAKES = HEAD + "say('ready', os.getpid())\nwait()\nstay()\n"
FAILS = HEAD + "say('failed', 'no such library')\n"
DIES = HEAD + "say('ready', os.getpid())\nwait()\n"
CRASHES = "raise SystemExit(3)\n"


class Driver:
    """A receiver with a simulated clock, which notes what it is asked to do."""

    def __init__(self, home: Path) -> None:
        self.now = 1000.0
        self.selector = selectors.DefaultSelector()
        self.home = home
        self.asked: list[str] = []
        self.jobs = False
        self.answers: list[int | str] = []
        self.successor = Successor(self.selector, self, self.answers.append)

    def start(self, source: str, *, command: str = sys.executable) -> None:
        self.successor.start(Program((command, "-c", source), str(self.home), {}), self.now)

    def turn(self, seconds: float = 0.0) -> None:
        self.now += seconds
        for key, _ in self.selector.select(0.01):
            key.data(key.fileobj, self.now)
        for _ in reap_ended():
            continue
        self.successor.tick(self.now)

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end, (self.asked, self.answers, self.successor.phase)
            self.turn()

    # What the receiver does

    def pass_to_successor(self, channel: int) -> Passed:
        return Passed([], False, channel, None)

    def pause_jobs(self, now: float) -> None:
        self.asked.append("pause")

    def jobs_ended(self) -> bool:
        return not self.jobs

    def shut(self) -> tuple[int, ...]:
        self.asked.append("shut")
        return ()

    def go_on(self, now: float) -> None:
        self.asked.append("go on")

    def handed_over(self, pid: int, now: float) -> None:
        self.asked.append("handed over")

    def successor_ended(self, now: float) -> None:
        self.asked.append("successor ended")


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    made = Driver(tmp_path)
    yield made
    made.successor.close()
    made.selector.close()
    for _ in reap_ended():
        continue


def test_it_takes_over(driver: Driver) -> None:
    driver.start(SERVES)
    assert driver.successor.is_coming
    driver.until(lambda: driver.answers)
    assert driver.asked == ["pause", "shut", "handed over"]
    [pid] = driver.answers
    assert isinstance(pid, int)
    assert driver.successor.phase is Phase.SERVING
    driver.turn(10 * READY_SECONDS)
    os.kill(pid, 9)
    driver.until(lambda: "successor ended" in driver.asked)
    assert driver.answers == [pid]


def test_it_waits_for_jobs_however_long_they_take(driver: Driver) -> None:
    driver.jobs = True
    driver.start(SERVES)
    driver.until(lambda: driver.asked)
    driver.turn(10 * READY_SECONDS)
    assert driver.asked == ["pause"]
    driver.jobs = False
    driver.until(lambda: driver.answers)
    assert driver.asked == ["pause", "shut", "handed over"]


@pytest.mark.parametrize(
    ("source", "command", "reason"),
    [
        (FAILS, sys.executable, "no such library"),
        (CRASHES, sys.executable, "the new program ended before it was ready; its own messages say why"),
        ("", "/none/dcmrecv", "cannot execute /none/dcmrecv: No such file or directory"),
    ],
)
def test_one_that_cannot_start_changes_nothing(
    driver: Driver, caplog: pytest.LogCaptureFixture, source: str, command: str, reason: str
) -> None:
    driver.start(source, command=command)
    driver.until(lambda: driver.answers)
    assert driver.answers == [reason]
    assert driver.asked == []
    assert not driver.successor.is_coming
    assert caplog.messages == [f"no upgrade, nothing has changed: {reason}"]


@pytest.mark.parametrize(
    ("source", "phase", "asked", "reason"),
    [
        (NEVER_READY, Phase.STARTING, [], f"the new program was not ready within {READY_SECONDS:g} s"),
        (
            NEVER_TAKES,
            Phase.TAKING,
            ["pause", "shut", "go on"],
            f"the new program did not take over within {TAKE_SECONDS:g} s",
        ),
    ],
)
def test_one_that_is_too_slow_is_killed(
    driver: Driver, source: str, phase: Phase, asked: list[str], reason: str
) -> None:
    driver.start(source)
    driver.until(lambda: driver.successor.phase is phase)
    driver.turn(max(READY_SECONDS, TAKE_SECONDS) + 1)
    driver.until(lambda: driver.answers)
    assert (driver.answers, driver.asked) == ([reason], asked)


def test_one_that_dies_while_it_takes_over(driver: Driver) -> None:
    driver.start(DIES)
    driver.until(lambda: driver.answers)
    assert driver.asked == ["pause", "shut", "go on"]


def test_given_up_it_is_dead_before_the_old_one_goes_on(driver: Driver) -> None:
    driver.jobs = True
    driver.start(SERVES)
    driver.until(lambda: driver.asked)
    driver.successor.give_up("the receiver is told to end")
    assert driver.asked == ["pause"]
    driver.until(lambda: driver.answers)
    assert driver.answers == ["the receiver is told to end"]
    assert driver.asked == ["pause", "go on"]


def test_given_up_it_takes_over_no_more(driver: Driver) -> None:
    driver.start(NEVER_TAKES.replace("wait()\n", "wait()\nsay('taken')\n"))
    driver.until(lambda: driver.successor.phase is Phase.TAKING)
    driver.successor.give_up("the receiver is told to end")
    driver.until(lambda: driver.answers)
    assert driver.answers == ["the receiver is told to end"]
    assert driver.asked == ["pause", "shut", "go on"]


def test_at_the_end_of_the_old_one_it_is_killed(driver: Driver) -> None:
    driver.start(NEVER_READY)
    driver.turn()
    driver.successor.close()
    assert driver.answers == ["the receiver is told to end"]
    driver.successor.close()
    driver.turn(10 * READY_SECONDS)
    assert len(driver.answers) == 1


def test_when_nothing_can_be_forked(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("dcmrecv_core.net.upgrade.program.fork", refuse)
    driver.start(SERVES)
    assert driver.answers == ["cannot start a process: Resource temporarily unavailable"]
    assert driver.asked == []


def test_when_no_descriptor_is_free(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("socket.socketpair", refuse)
    driver.start(SERVES)
    assert driver.answers == ["cannot start a process: Too many open files"]
