"""The limits on plugin code: the timer here, memory and forks in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dcmrecv_core.counters.memory import CounterMemory
from dcmrecv_core.counters.slot import HookCalls
from dcmrecv_core.hooks import limits
from dcmrecv_core.hooks.limits import MAX_NUMBER, HookTimeout, HookTimer, PluginLimits
from support.paths import ROOT


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)


def test_memory_has_a_limit_and_a_reserve() -> None:
    done = run(
        """
from dcmrecv_core.hooks.limits import RESERVE, MemoryGuard
memory = MemoryGuard()
memory.limit(128 << 20)
kept = []
def eaten():
    try:
        while True: kept.append(bytes(1 << 20))
    except MemoryError as error:
        memory.release(error)
    return len(kept) << 20
at_first = eaten()
assert 64 << 20 < at_first < 128 << 20
assert memory.ran_out
with_reserve = eaten()
assert RESERVE // 2 < with_reserve - at_first <= RESERVE
assert eaten() == with_reserve
"""
    )
    assert done.returncode == 0, done.stderr


def test_a_limit_of_the_system_stays() -> None:
    done = run(
        """
import resource
from dcmrecv_core.hooks.limits import MemoryGuard
memory = MemoryGuard()
resource.setrlimit(resource.RLIMIT_DATA, (100 << 20, 100 << 20))
memory.limit(1 << 30)
assert resource.getrlimit(resource.RLIMIT_DATA) == (100 << 20, 100 << 20)
memory.release(ValueError())
assert not memory.ran_out
"""
    )
    assert done.returncode == 0, done.stderr


def test_a_copy_ends_and_a_program_does_not() -> None:
    done = run(
        """
import os, subprocess
from dcmrecv_core.hooks.limits import forbid_copies
forbid_copies()
child = os.fork()
print("here", flush=True)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
subprocess.run(["true"], check=True)
"""
    )
    assert (done.returncode, done.stdout) == (0, "here\n"), done.stderr
    assert "has forked this worker" in done.stderr


IN_A_HOOK = """
import os, sys, threading, multiprocessing
from dcmrecv_core import hookimpl
from dcmrecv_core.hooks.limits import forbid_copies
from dcmrecv_core.hooks.loader import Found
from dcmrecv_core.hooks.plugins import Plugins

forks = threading.Semaphore(0)

def forks_often():
    for _ in range(5):
        os.waitpid(os.fork(), 0)

def pools():
    with multiprocessing.get_context("fork").Pool(2):
        for _ in range(10):  # its thread replaces each copy that ends
            assert forks.acquire(timeout=20)

def in_a_thread():
    thread = threading.Thread(target=forks_often, name="Sender")
    thread.start()
    thread.join()

class Site:
    @hookimpl
    def receive(self, instance):
        globals()[sys.argv[1]]()
    @hookimpl
    def worker_stopping(self):
        globals()[sys.argv[1]]()

plugins = Plugins()
plugins.add(Found("site", Site(), "test"), named=True)
forbid_copies()
os.register_at_fork(after_in_parent=forks.release)
plugins.receive(None)
plugins.receive(None)
plugins.worker_stopping()
"""


@pytest.mark.parametrize(
    ("what", "lines"),
    [
        ("forks_often", ["plugin site: receive: has forked", "plugin site: worker_stopping: has forked"]),
        ("pools", ["plugin site: receive: has forked", "plugin site: worker_stopping: has forked"]),
        ("in_a_thread", ["thread Sender of a plugin: has forked"]),
    ],
)
def test_fault_23_forks_are_reported_once_for_each_hook(what: str, lines: list[str]) -> None:
    done = run(IN_A_HOOK, what)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert len(said) == len(lines), said
    for line, beginning in zip(said, lines, strict=True):
        assert line.startswith(beginning)
        assert "Use subprocess, multiprocessing.get_context('spawn') or the hook background" in line


def count_ticks(timer: HookTimer) -> int:
    for number in range(1, 100):
        try:
            timer.tick()
        except HookTimeout:
            return number
    return 0


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> tuple[HookTimer, HookCalls, list[float]]:
    """A timer that measures, where it does so, and its clock."""
    timer, calls, clock = HookTimer(), CounterMemory(1).workers[0].hook_calls, [100.0]
    monkeypatch.setattr(limits, "monotonic", lambda: clock[0])
    timer.measure(calls)
    return timer, calls, clock


def test_calls_are_measured_without_the_time_of_save(measured: tuple[HookTimer, HookCalls, list[float]]) -> None:
    timer, calls, clock = measured
    timer.start(3)
    clock[0] += 1
    running = timer.suspend()
    clock[0] += 100
    again = timer.suspend()  # another location is opened meanwhile
    clock[0] += 100
    timer.resume(again)
    timer.resume(running)
    clock[0] += 2
    timer.stop()
    assert calls.of(3) == (1, 3.0)
    timer.start(3)
    timer.stop()
    timer.resume(timer.suspend())
    assert calls.of(3) == (2, 3.0)
    assert calls.of(0) == (0, 0.0)


def test_a_timer_that_measures_is_still_one(measured: tuple[HookTimer, HookCalls, list[float]]) -> None:
    timer, _, _ = measured
    timer.limit = 3
    timer.start(7)
    assert (timer.flag[0], timer.running) == (7, 7)
    timer.tick()
    assert timer.ticks == 1
    assert count_ticks(timer) == 3
    timer.stop()
    assert (timer.flag[0], timer.running, timer.ticks) == (0, 0, 0)


def test_the_timer_counts_from_the_start_of_a_hook() -> None:
    own = HookTimer()
    own.limit = 3
    assert count_ticks(own) == 0, "no hook runs"
    for _ in range(2):
        own.start(1)
        assert own.flag[0] == 1
        assert count_ticks(own) == 4
        assert count_ticks(own) == 4, "a hook that swallows it gets another one"
        own.stop()
        assert own.flag[0] == 0
    own.limit = None
    own.start(1)
    assert count_ticks(own) == 0, "no limit"


def test_the_cores_own_work_is_not_counted() -> None:
    own = HookTimer()
    own.limit = 1
    own.start(1)
    was_running = own.suspend()
    assert own.flag[0] == 0, "the supervisor does not end the worker either"
    assert count_ticks(own) == 0
    own.resume(was_running)
    assert own.flag[0] == 1
    assert count_ticks(own) == 2
    own.stop()
    own.resume(own.suspend())
    assert (own.running, own.flag[0]) == (False, 0)


def test_hooks_have_numbers_for_the_log() -> None:
    limits = PluginLimits()
    assert [limits.number("site", "receive"), limits.number("site", "stored"), limits.number("site", "receive")] == [
        1,
        2,
        1,
    ]
    assert limits.hook_name(2) == "hook stored of plugin site"
    for number in range(200):
        assert limits.number(f"plugin{number}", "receive") <= MAX_NUMBER
    assert limits.hook_name(MAX_NUMBER - 1) == "hook receive of plugin plugin123"
    assert limits.hook_name(MAX_NUMBER) == limits.hook_name(0) == "a plugin hook"
