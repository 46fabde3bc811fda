"""An upgrade in the receiver: when there is none, and what each program begins or ends. (Whole ones: tests/e2e.)"""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from dcmrecv_core.net.admission import AdmissionTable, Door
from dcmrecv_core.net.control.server import ControlServer
from dcmrecv_core.net.supervisor.background import Background, Job
from dcmrecv_core.net.supervisor.frontdesk import FrontDesk
from dcmrecv_core.net.supervisor.listener import Listeners
from dcmrecv_core.net.supervisor.notify import Notifier
from dcmrecv_core.net.supervisor.ownership import StateDirectory
from dcmrecv_core.net.supervisor.succession import Parts, Succession
from dcmrecv_core.net.upgrade.channel import TAKEN, YOURS, Channel
from dcmrecv_core.net.upgrade.predecessor import Predecessor
from dcmrecv_core.net.upgrade.program import Program
from dcmrecv_core.settings.settings import Settings

# The test runner may have threads; forking is safe as long as the child runs our code only
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

PROGRAM = Program(("/none/dcmrecv",), "/", {})


@dataclass
class FakePool:
    """Its table only."""

    table: AdmissionTable = field(default_factory=lambda: AdmissionTable(1))


class Driver:
    """The parts of a receiver; `other` is the predecessor's end of the stream, if there is one."""

    def __init__(self, home: Path, *, program: Program | None = PROGRAM, follows: bool = False) -> None:
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        listeners = Listeners([self.listener])
        self.settings = Settings(output_directory=str(home))
        self.state = StateDirectory.take(self.settings)
        self.desk = FrontDesk(self.selector, listeners, 30.0, lambda handover: None, accepts=not follows)
        self.pool = FakePool()
        self.background = Background({"a job": Job(lambda: 0)}, 8.0, is_paused=follows)
        self.control = ControlServer(self.selector, None if follows else socket.create_server(("127.0.0.1", 0)), {})
        self.notifier = Notifier(is_silent=follows)
        parts = Parts(
            self.desk, cast(Any, self.pool), self.background, self.control, listeners, self.state, self.notifier
        )
        self.other: Channel | None = None
        predecessor = None
        if follows:
            ours, theirs = socket.socketpair()
            self.other = Channel(theirs)
            predecessor = Predecessor(ours, None, inherited=False)
        self.stops: list[str] = []
        self.drains = 0
        self.answers: list[int | str] = []
        self.succession = Succession(
            self.selector, self.settings, parts, lambda why, now: self.stops.append(why), program, predecessor
        )

    def count_drain(self, now: float) -> None:
        self.drains += 1

    def upgrade(self) -> None:
        self.succession.upgrade(self.answers.append, self.count_drain)

    def turn(self) -> None:
        for key, _ in self.selector.select(0.02):
            key.data(key.fileobj, 0.0)

    def close(self) -> None:
        self.succession.end()
        self.succession.close_in_child()
        self.desk.close()
        self.control.stop_listening()
        self.selector.close()
        self.state.release()
        if self.other is not None:
            self.other.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Driver]]:
    made: list[Driver] = []

    def start(**arguments: Any) -> Driver:
        made.append(Driver(tmp_path, **arguments))
        return made[-1]

    yield start
    for driver in made:
        driver.close()


def test_how_it_was_started_has_to_be_known(make: Callable[..., Driver]) -> None:
    driver = make(program=None)
    driver.upgrade()
    assert driver.answers == ["how the receiver was started is not known"]


def test_process_1_of_a_container_cannot_be_replaced(
    make: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make()
    monkeypatch.setattr(os, "getpid", lambda: 1)
    driver.upgrade()
    assert str(driver.answers[0]).startswith("process 1 of a container cannot be replaced")


def test_a_program_that_does_not_serve_yet_starts_none(make: Callable[..., Driver]) -> None:
    driver = make(follows=True)
    driver.upgrade()
    assert driver.answers == ["the receiver has not taken over from the program before it yet"]


def test_the_new_program_begins_when_it_owns_everything(make: Callable[..., Driver], children: list[int]) -> None:
    driver = make(follows=True)
    assert driver.pool.table.door is Door.SHUT
    assert driver.succession.predecessor_runs
    driver.background.tick(0.0)
    assert not len(driver.background)
    lock = os.open(os.devnull, os.O_RDONLY)
    control = socket.create_server(("127.0.0.1", 0))
    assert driver.other is not None
    driver.other.send(YOURS, descriptors=(lock, control.fileno()))
    driver.turn()
    assert driver.other.receive() == {TAKEN: True}
    assert driver.pool.table.door is Door.OPEN
    assert not driver.notifier.is_silent
    [listening] = driver.control.pass_on()
    assert os.path.samestat(os.fstat(listening), os.fstat(control.fileno()))
    driver.background.tick(0.0)
    assert len(driver.background) == 1
    for child in children:  # the job, and the process that has described the owner
        os.waitpid(child, 0)
    driver.other.close()
    driver.turn()
    assert not driver.succession.predecessor_runs
    assert driver.stops == []
    os.close(lock)
    control.close()


def test_the_old_one_ends_before_that(make: Callable[..., Driver]) -> None:
    driver = make(follows=True)
    assert driver.other is not None
    driver.other.close()
    driver.turn()
    assert driver.stops == ["the program before this one ended before it handed over"]


def test_what_the_old_program_passes_on_and_keeps_if_it_goes_on(make: Callable[..., Driver]) -> None:
    driver = make()
    assert driver.state.lock is not None
    passed = driver.succession.pass_to_successor(7)
    assert passed.sockets == [driver.listener.fileno()]
    assert (passed.inherited, passed.channel, passed.processes) == (False, 7, driver.state.lock.processes)
    assert driver.succession.jobs_ended()
    assert driver.succession.shut() == (*driver.state.pass_on(), *driver.control.pass_on())
    assert driver.pool.table.door is Door.SHUT
    driver.succession.go_on(0.0)
    assert driver.pool.table.door is Door.OPEN
    assert driver.state.pass_on()


def test_a_drain_that_began_meanwhile_goes_on(make: Callable[..., Driver], children: list[int]) -> None:
    driver = make()
    driver.succession.pause_jobs(0.0)
    driver.pool.table.door = Door.CLOSED
    driver.succession.go_on(0.0)
    assert driver.pool.table.door is Door.CLOSED
    driver.background.tick(0.0)
    assert len(driver.background) == 1
    os.waitpid(children[0], 0)


def test_after_the_handover_the_old_program_owns_nothing(make: Callable[..., Driver], children: list[int]) -> None:
    driver = make()
    driver.upgrade()
    driver.succession.handed_over(4711, 0.0)
    assert driver.drains == 1
    assert driver.notifier.is_silent
    assert driver.state.pass_on() == driver.control.pass_on() == ()
    driver.succession.successor_ended(0.0)
    assert driver.stops == ["the program that took over has ended"]
    os.waitpid(children[0], 0)
