"""An association that was lost with its worker is passed to one idle worker, once."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from dcmrecv_core.net import child
from dcmrecv_core.net.admission import Slot
from dcmrecv_core.net.handover import IDLE, TAKEN, Handover, LostAssociation, receive
from dcmrecv_core.net.record import decode
from dcmrecv_core.net.supervisor.pool import Pool
from support.plugins import ASSOCIATION
from support.protocol.pool_driver import ANY_SHARES, SECONDS

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def main(report: socket.socket, untaken: bool) -> Callable[[socket.socket, Slot], int]:
    """A worker that dies in its first association, and reports each lost one; with `untaken` the first worker that
    should be told ends before it reads."""

    def work(control: socket.socket, slot: Slot) -> int:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        slot.claim.offer()
        control.send(IDLE)
        if untaken and control.recv(1, socket.MSG_PEEK) == b"N":
            with suppress(BlockingIOError):
                if report.recv(1, socket.MSG_DONTWAIT):
                    report.send(b"ended;")
                    return 0
        while (given := receive(control)) is not None:
            control.send(TAKEN)
            if isinstance(given, LostAssociation):
                association, summary = decode(given.data)
                report.send(f"{association.calling_ae_title} {summary.ended.value};".encode())
                slot.claim.offer()
            else:
                slot.record.open(ASSOCIATION, time.monotonic())
                os.kill(os.getpid(), signal.SIGKILL)
        return 0

    return work


class Driver:
    def __init__(self, *, tells: bool = True, untaken: bool = False) -> None:
        self.report, theirs = socket.socketpair()
        self.report.setblocking(False)
        self._theirs = theirs
        self.selector = selectors.DefaultSelector()
        self.pool = Pool(
            self.selector,
            3,
            30.0,
            main(theirs, untaken),
            lambda handover: None,
            lambda sock, now: None,
            lambda: None,
            tells_lost=tells,
        )
        self.said = b""

    def until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < end, f"not within {SECONDS} s: {what}, but {self.said!r}"
            now = time.monotonic()
            self.pool.grow(now)
            for key, _ in self.selector.select(0.02):
                if self.selector.get_map().get(key.fd) is key:
                    key.data(key.fileobj, now)
            for pid, code in child.reap_ended():
                self.pool.child_ended(pid, code, now)
            self.pool.tick(now)
            try:
                self.said += self.report.recv(1000)
            except BlockingIOError:
                continue

    @property
    def idle(self) -> int:
        return sum(worker.idle for worker in self.pool._workers.values())

    def lose(self) -> None:
        self.until(lambda: self.idle >= 2, "workers are idle")
        ours, peer = socket.socketpair()
        with peer:
            assert self.pool.assign(Handover(ours, b"", "192.0.2.7", 1), time.monotonic(), ANY_SHARES)

    def close(self) -> None:
        self.pool.stop()
        self.pool.signal_all(signal.SIGKILL)
        self.until(lambda: not len(self.pool), "all are gone")
        self.report.close()
        self._theirs.close()


@pytest.fixture
def drivers() -> Iterator[list[Driver]]:
    made: list[Driver] = []
    yield made
    for driver in made:
        driver.close()


def test_it_is_told_once(drivers: list[Driver]) -> None:
    driver = Driver()
    drivers.append(driver)
    for number in (1, 2):
        driver.lose()
        driver.until(lambda: driver.said.count(b";") == number, "an idle worker is told")  # noqa: B023
    driver.until(lambda: driver.idle >= 2, "they are idle again")
    assert driver.said == b"SCANNER lost;" * 2


def test_a_worker_that_ends_before_it_reads_passes_it_on(drivers: list[Driver]) -> None:
    driver = Driver(untaken=True)
    drivers.append(driver)
    driver.report.send(b"1")
    driver.lose()
    driver.until(lambda: b"lost" in driver.said, "another one is told")
    assert driver.said.count(b"SCANNER lost;") == 1
    assert driver.said.startswith(b"ended;")


def test_without_a_plugin_no_worker_is_told(drivers: list[Driver]) -> None:
    driver = Driver(tells=False)
    drivers.append(driver)
    driver.lose()
    driver.until(lambda: driver.idle >= 2, "a new worker is idle")
    assert driver.said == b"" and not driver.pool._lost
