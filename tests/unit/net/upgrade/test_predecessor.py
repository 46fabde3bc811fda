"""The new program's side of an upgrade."""

from __future__ import annotations

import json
import os
import selectors
import socket
from collections.abc import Iterator

import pytest

from dcmrecv_core.net.upgrade.channel import FAILED, READY, TAKEN, YOURS, Channel
from dcmrecv_core.net.upgrade.predecessor import Predecessor


class Driver:
    """The new program, and the other one's end of the stream."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.other = Channel(theirs)
        self.predecessor = Predecessor(ours, None, inherited=False)
        self.selector = selectors.DefaultSelector()
        self.taken: list[list[int]] = []
        self.ends = 0
        self.predecessor.watch(self.selector, lambda passed, _: self.taken.append(list(passed)), self._count_end)

    def _count_end(self, now: float) -> None:
        self.ends += 1

    def turn(self) -> None:
        for key, _ in self.selector.select(0.01):
            key.data(key.fileobj, 0.0)


@pytest.fixture
def driver() -> Iterator[Driver]:
    made = Driver()
    yield made
    made.other.close()
    if not made.ends:
        made.predecessor.close()
    made.selector.close()
    for passed in made.taken:
        for fd in passed:
            os.close(fd)


def test_it_takes_over_once(driver: Driver) -> None:
    driver.predecessor.ready()
    assert driver.other.receive() == {READY: os.getpid()}
    assert not driver.predecessor.has_handed_over
    reading, writing = os.pipe()
    driver.other.send(YOURS, descriptors=(reading, writing))
    driver.turn()
    assert driver.predecessor.has_handed_over
    assert driver.other.receive() == {TAKEN: True}
    driver.other.send(YOURS)
    driver.turn()
    [[lock, _]] = driver.taken
    assert os.path.samestat(os.fstat(lock), os.fstat(reading))
    os.close(reading)
    os.close(writing)


def test_a_failure_is_told(driver: Driver) -> None:
    driver.predecessor.fail("no such library")
    assert driver.other.receive() == {FAILED: "no such library"}


def test_the_end_of_the_other_program(driver: Driver) -> None:
    driver.other.close()
    driver.predecessor.ready()
    driver.predecessor.fail("too late")
    driver.turn()
    driver.turn()
    assert (driver.ends, driver.taken) == (1, [])


def test_it_takes_over_although_the_other_program_has_ended_meanwhile(driver: Driver) -> None:
    driver.other.send(YOURS)
    driver.other.close()
    driver.turn()
    driver.turn()
    assert (driver.ends, driver.taken) == (1, [[]])


def test_its_own_end_is_the_end_of_the_other_program(driver: Driver) -> None:
    driver.predecessor.end()
    assert driver.other.receive() is None
    driver.turn()
    assert driver.ends == 0
    driver.other.close()
    driver.turn()
    assert driver.ends == 1


def test_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    lock = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(lock, True)
    theirs.set_inheritable(True)
    passed = {"channel": theirs.detach(), "processes": lock, "inherited": True}
    monkeypatch.setenv("DCMRECV_UPGRADE", json.dumps(passed))
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    predecessor = Predecessor.of_this_process()
    assert predecessor is not None
    assert (predecessor.processes, predecessor.inherited) == (lock, True)
    assert not any(map(os.get_inheritable, (passed["channel"], lock)))
    assert "DCMRECV_UPGRADE" not in os.environ, "plugins' children must not speak for us"
    predecessor.fail("broken")
    assert Channel(ours).receive() == {FAILED: "broken"}
    predecessor.close()
    ours.close()
    os.close(lock)


@pytest.mark.parametrize("pid", ["1", ""])
def test_what_is_meant_for_another_process(monkeypatch: pytest.MonkeyPatch, pid: str) -> None:
    monkeypatch.setenv("DCMRECV_UPGRADE", '{"channel": 0, "processes": null, "inherited": false}')
    monkeypatch.setenv("LISTEN_PID", pid)
    assert Predecessor.of_this_process() is None
    assert "DCMRECV_UPGRADE" not in os.environ


def test_a_usual_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DCMRECV_UPGRADE", raising=False)
    assert Predecessor.of_this_process() is None
