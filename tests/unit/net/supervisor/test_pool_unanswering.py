"""Workers that do not answer, for example because someone has stopped them."""

from __future__ import annotations

import math
import os
import signal
import socket
from collections.abc import Iterable

import pytest

from dcmrecv_core.net.admission import Slot
from dcmrecv_core.net.handover import IDLE, TAKEN, Handover, pass_on, receive
from dcmrecv_core.net.supervisor import pool as pool_module
from dcmrecv_core.net.supervisor.pool import (
    BUSY_TAKE_SECONDS,
    FIRST_PAUSE,
    FRESH_SECONDS,
    LOOK_SECONDS,
    SHRINK_SECONDS,
    SPARE,
    STOPPED_LOOKS,
    TAKE_SECONDS,
)
from support.protocol.pool_driver import ANY_SHARES, HOOK_SECONDS, Driver, Start, exists, obedient, stop

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@pytest.mark.parametrize("all_stopped", [False, True])
def test_fault_16_a_stopped_worker_is_killed_before_another_one_gets_its_handover(
    start: Start, caplog: pytest.LogCaptureFixture, all_stopped: bool
) -> None:
    driver = start()
    driver.settle()
    driver.turn()
    victims = [worker.pid for worker in driver.pool._workers.values()][: SPARE if all_stopped else 1]
    for pid in victims:
        stop(pid)
    peer = driver.assign()
    assert peer is not None
    driver.turn(TAKE_SECONDS - 0.01)
    assert driver.reassigned == []
    assert all(map(exists, victims))
    driver.turn(0.02)
    driver.until(lambda: not any(map(exists, victims)), "those that are stopped end")
    [handover] = driver.reassigned
    assert driver.idle == SPARE - len(victims)
    driver.settle()
    assert driver.pool.assign(handover, driver.now, ANY_SHARES)
    assert int(peer.recv(100)) not in victims
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if "does not answer" in line] == [
        f"worker {pid} does not answer; killing it" for pid in victims
    ]
    ends = {line for line in lines if "was killed" in line}
    assert ends == {f"worker {pid} was killed by signal 9" for pid in victims}, "for a peer that none has served"


def test_idle_workers_with_a_recent_heartbeat_are_asked_first(start: Start) -> None:
    driver = start()
    driver.settle()
    first, last = driver.pool._workers.values()
    driver.turn(FRESH_SECONDS)
    first.slot.beat(driver.now)
    assert driver.serve()[1] == first.pid
    assert driver.serve()[1] == last.pid, "it answers all the same"


@pytest.mark.parametrize(("state", "limit"), [("D", math.inf), ("R", BUSY_TAKE_SECONDS)])
def test_a_worker_that_waits_for_a_disk_or_a_processor_has_more_time(
    start: Start, monkeypatch: pytest.MonkeyPatch, state: str, limit: float
) -> None:
    driver = start(limit=1)
    driver.settle()
    driver.turn()
    [pid] = driver.children
    stop(pid)
    monkeypatch.setattr(pool_module, "state_of", lambda pid: state)
    assert driver.assign() is not None
    driver.turn(min(limit, 10 * BUSY_TAKE_SECONDS) - 0.1)
    assert driver.reassigned == []
    if limit < math.inf:
        driver.turn(0.2)
        driver.until(lambda: bool(driver.reassigned), "another one may serve")
        driver.reassigned[0].sock.close()
    else:
        os.kill(pid, signal.SIGCONT)


def test_a_handover_that_was_taken_while_the_supervisor_was_busy_costs_no_worker(start: Start) -> None:
    driver = start(limit=1)
    driver.settle()
    driver.turn()
    _, pid = driver.serve()
    driver.now += 10 * TAKE_SECONDS
    driver.pool.tick(driver.now)
    driver.turn(10 * TAKE_SECONDS)
    assert driver.reassigned == []
    assert driver.children == [pid]
    assert exists(pid)


def passes_on_before_it_takes(control: socket.socket, slot: Slot) -> int:
    """A connection that it has accepted arrives at the supervisor before the word that it has taken the hand-over."""
    slot.claim.offer()
    control.send(IDLE)
    handover = receive(control)
    assert isinstance(handover, Handover)
    slot.begin(handover.address, 0.0, handshake=False)
    with socket.socket() as accepted:
        pass_on(control, accepted)
    control.send(TAKEN)
    handover.sock.sendall(b"%d" % os.getpid())
    handover.sock.recv(1)
    return 0


def test_a_worker_that_has_passed_on_a_connection_before_is_heard_to_the_end(start: Start) -> None:
    driver = start(passes_on_before_it_takes, limit=1)
    driver.settle()
    driver.turn()
    _, pid = driver.serve()
    driver.now += 10 * TAKE_SECONDS  # the supervisor was busy, and has heard neither
    driver.pool.tick(driver.now)
    driver.turn()
    [accepted] = driver.passed_on
    accepted.close()
    assert driver.reassigned == [] and exists(pid)


def test_a_worker_that_takes_its_handover_at_the_last_moment_lives(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = start(limit=1)
    driver.settle()
    driver.turn()
    [pid] = driver.children
    stop(pid)
    peer = driver.assign()
    assert peer is not None

    def continue_it(_: int) -> str:
        os.kill(pid, signal.SIGCONT)
        assert int(peer.recv(100)) == pid
        return "S"  # as it waits for its peer now

    monkeypatch.setattr(pool_module, "state_of", continue_it)
    driver.turn(TAKE_SECONDS)
    driver.turn()
    assert exists(pid)
    assert driver.reassigned == []
    driver.finish(peer)


def test_a_worker_has_its_time_from_the_handover_on(start: Start) -> None:
    driver = start(limit=1)
    driver.settle()
    driver.turn()
    [pid] = driver.children
    stop(pid)
    driver.now += TAKE_SECONDS  # the supervisor does something else before it comes to this request
    assert driver.assign() is not None
    driver.pool.tick(driver.now)
    assert driver.idle == 0 and exists(pid)
    os.kill(pid, signal.SIGCONT)
    driver.turn()
    assert driver.reassigned == []


def stopped_at_once(control: socket.socket, slot: Slot) -> int:
    os.kill(os.getpid(), signal.SIGSTOP)
    return 0


def looks(driver: Driver, count: int) -> None:
    """Let so many looks at the workers pass."""
    for _ in range(count):
        driver.turn(LOOK_SECONDS)


def wait_until_stopped(pids: Iterable[int]) -> None:
    for pid in pids:
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


def test_workers_that_are_stopped_while_they_start_are_replaced(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    driver = start(lambda control, slot: (stopped_at_once if stops else obedient)(control, slot), limit=SPARE)
    stops = True
    driver.pool.grow(driver.now)
    victims = list(driver.children)
    wait_until_stopped(victims)
    driver.turn(FRESH_SECONDS)
    looks(driver, STOPPED_LOOKS - 2)
    assert all(map(exists, victims))
    looks(driver, 1)
    driver.until_gone()
    stops = False
    driver.now += FIRST_PAUSE
    driver.settle()
    assert driver.serve()[1] not in victims
    lines = {record.getMessage() for record in caplog.records}
    assert {f"worker {pid} is stopped; killing it" for pid in victims} <= lines


@pytest.mark.parametrize("how", ["reload", "shrink"])
def test_stopped_workers_that_are_told_to_end_are_replaced(start: Start, how: str) -> None:
    driver = start(limit=SPARE + 1)
    driver.settle(waiting=1)
    victims = driver.children[: SPARE + 1 if how == "reload" else 1]
    for pid in victims:
        stop(pid)
    if how == "reload":
        driver.pool.replace_all(HOOK_SECONDS)
    else:
        for worker in driver.pool._workers.values():
            worker.idle_since = driver.now - (SHRINK_SECONDS + 1) * (worker.pid in victims)
        driver.pool.tick(driver.now)
    driver.turn(FRESH_SECONDS)
    looks(driver, STOPPED_LOOKS)
    driver.until(lambda: not any(map(exists, victims)), "they end")
    driver.settle(waiting=1)
    assert driver.idle == SPARE + 1


def test_a_worker_that_is_stopped_in_an_association_is_killed(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    driver = start(limit=1)
    driver.settle()
    peer, pid = driver.serve()
    stop(pid)
    driver.turn(FRESH_SECONDS)
    looks(driver, STOPPED_LOOKS)
    assert peer.recv(100) == b""
    assert f"worker {pid} is stopped (10.0.0.1); killing it" in [record.getMessage() for record in caplog.records]


def test_a_worker_that_is_continued_in_time_goes_on(start: Start) -> None:
    driver = start(limit=1)
    driver.settle()
    peer, pid = driver.serve()
    for _ in range(3):
        stop(pid)
        driver.turn(FRESH_SECONDS)
        looks(driver, STOPPED_LOOKS - 2)
        os.kill(pid, signal.SIGCONT)
        os.waitid(os.P_PID, pid, os.WCONTINUED | os.WNOWAIT)
        looks(driver, 1)
    driver.turn(100 * LOOK_SECONDS)
    assert exists(pid)
    driver.finish(peer)


@pytest.mark.parametrize("state", ["D", "R", "S", "t", ""])
def test_a_busy_worker_without_a_heartbeat_is_killed_only_if_it_is_stopped(
    start: Start, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    driver = start(limit=1)
    driver.settle()
    peer, pid = driver.serve()
    monkeypatch.setattr(pool_module, "state_of", lambda pid: state)
    looks(driver, 10 * STOPPED_LOOKS)
    assert exists(pid)
    driver.finish(peer)


def test_no_look_at_workers_with_a_heartbeat(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver with a thousand associations reads no thousand files a second."""
    driver = start(limit=1)
    driver.settle()
    driver.serve()
    [worker] = driver.pool._workers.values()
    monkeypatch.setattr(pool_module, "state_of", lambda pid: "T")
    for _ in range(10 * STOPPED_LOOKS):
        worker.slot.beat(driver.now)
        looks(driver, 1)
    assert exists(worker.pid)
