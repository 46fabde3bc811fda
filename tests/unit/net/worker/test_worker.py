"""A worker's stop flag and its two grace periods, without a process."""

from __future__ import annotations

import os
import signal

import pytest

from dcmrecv_core.hooks.limits import HookTimeout, HookTimer
from dcmrecv_core.net.admission import AdmissionTable
from dcmrecv_core.net.supervisor.supervisor import GRACE
from dcmrecv_core.net.worker import worker as worker_module
from dcmrecv_core.net.worker.worker import ORPHAN_GRACE, STOP_GRACE, Worker
from support.protocol.scripted_connection import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(worker_module, "time", clock)
    return clock


@pytest.fixture
def worker() -> Worker:
    return Worker(AdmissionTable(1).take(0.0)[1], HookTimer())


def test_sigterm_leaves_the_instance_a_grace_that_ends_before_the_supervisors(worker: Worker, clock: Clock) -> None:
    assert not worker.should_stop(True)
    worker._on_stop(signal.SIGTERM, None)
    clock.now += STOP_GRACE - 0.1
    assert (worker.should_stop(True), worker.should_stop(False)) == (True, False)
    clock.now += 0.2
    assert worker.should_stop(False)
    assert STOP_GRACE + worker_module._FORCED_EXIT < GRACE


def test_fault_15_stray_alarms_use_up_no_time_of_a_hook(clock: Clock) -> None:
    timer = HookTimer()
    worker = Worker(AdmissionTable(1).take(0.0)[1], timer)
    timer.limit = 2.0
    timer.start(1)
    for _ in range(2):
        for _ in range(100):
            worker._on_tick(signal.SIGALRM, None)
        clock.now += 1
    with pytest.raises(HookTimeout):
        worker._on_tick(signal.SIGALRM, None)


def test_an_orphan_has_less_time_even_after_sigterm(
    worker: Worker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker._on_stop(signal.SIGTERM, None)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    worker._on_tick(signal.SIGALRM, None)
    clock.now += ORPHAN_GRACE + 0.1
    assert worker.should_stop(False)


def test_it_exits_soon_after_its_grace_whatever_runs(
    worker: Worker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[int] = []
    monkeypatch.setattr(os, "_exit", ends.append)
    worker._on_stop(signal.SIGTERM, None)
    clock.now += STOP_GRACE + worker_module._FORCED_EXIT - 0.1
    worker._on_tick(signal.SIGALRM, None)
    assert ends == []
    clock.now += 0.2
    worker._on_tick(signal.SIGALRM, None)
    assert ends == [1]
