"""400 signals of each kind reach a supervisor that is busy, then SIGTERM: it must end with exit code 0. So must an idle
one at which threads throw signals without a pause, at its children too. A supervisor is killed (SIGKILL) while one
worker and one background process are inside C code that keeps the interpreter's lock.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from dcmrecv_core.testing import until
from support.data.datasets import instance_of
from support.programs.receivers import Receiver, Start
from support.promises.promises import promise
from support.protocol.pdus import store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

pytestmark = promise(41)

WITHIN = 5.0
GRACE = 9.0
FLOOD = 400
"""Signals; some 280 fill the socket of Python's wake-up descriptor."""

KINDS = {
    "SIGHUP": signal.SIGHUP,
    "SIGCHLD": signal.SIGCHLD,
    "SIGUSR1": signal.SIGUSR1,
    "SIGUSR2": signal.SIGUSR2,
    "SIGALRM": signal.SIGALRM,
    "SIGIO": signal.SIGIO,
    "SIGWINCH": signal.SIGWINCH,
    "real-time": signal.SIGRTMIN + 3,
}

BUSY = """\
import os, pathlib
from dcmrecv_core import hookimpl

CALLS = []

@hookimpl
def configure(settings):
    CALLS.append(os.getpid())
    if CALLS.count(os.getpid()) > 1:  # a reload, in the supervisor
        pathlib.Path("busy").touch()
        while not os.path.exists("go"):
            pass
"""

WAITS = """\
import pathlib, time
from dcmrecv_core import hookimpl

@hookimpl
def background():
    try:
        pathlib.Path("waits").touch()
        time.sleep(600)
    finally:
        pathlib.Path("cleaned").touch()
"""

IN_C_CODE = """\
import itertools, os, pathlib
from dcmrecv_core import hookimpl

def stay(what):
    pathlib.Path(what).write_text(str(os.getpid()))
    sum(itertools.repeat(0, 10**11))  # a loop in C that looks at no signal

@hookimpl
def receive(instance):
    stay("receives")

@hookimpl
def background():
    stay("works")
"""


def is_pending(pid: int, number: int) -> bool:
    """Whether a signal has been sent and not delivered yet."""
    words = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return any(int(words[name], 16) >> (number - 1) & 1 for name in ("SigPnd", "ShdPnd"))


def send(receiver: Receiver, number: int) -> None:
    """Send a signal to the supervisor, and wait until it has arrived: equal ones that are pending are one."""
    pid = receiver.process.pid
    os.kill(pid, number)
    until(lambda: not is_pending(pid, number), f"signal {number} is delivered", log=lambda: receiver.log)


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill_all(pids: set[int]) -> None:
    for pid in filter(is_alive, pids):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("kind", KINDS)
def test_fault_15_sigterm_after_a_flood(ours: Start, kind: str, figure: Callable[[str], None]) -> None:
    receiver = ours("-pm", "-v", "--plugin", "busy_plugin", files={"busy_plugin.py": BUSY})
    receiver.process.send_signal(signal.SIGHUP)
    until((receiver.directory / "busy").exists, "the supervisor is busy", log=lambda: receiver.log)
    for _ in range(FLOOD):
        send(receiver, KINDS[kind])
    send(receiver, signal.SIGTERM)
    (receiver.directory / "go").touch()
    assert receiver.process.wait(GRACE) == 0, receiver.log
    figure(f"SIGTERM after {FLOOD} signals: exit code 0")


@contextmanager
def thrown_at(receiver: Receiver) -> Iterator[None]:
    """The supervisor and all its children get signals from threads, without a pause."""
    over = threading.Event()
    children = [os.pidfd_open(pid) for pid in receiver.workers()]  # a number may soon be another process's

    def throw(number: int) -> None:
        while not over.is_set():
            with suppress(ProcessLookupError):
                receiver.process.send_signal(number)
                for child in children:
                    signal.pidfd_send_signal(child, number)

    threads = [threading.Thread(target=throw, args=(number,)) for number in KINDS.values() if number != signal.SIGALRM]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
        for child in children:
            os.close(child)


def test_sigterm_in_a_flood(ours: Start, figure: Callable[[str], None]) -> None:
    receiver = ours("-pm", "--plugin", "waits", files={"waits.py": WAITS})
    until((receiver.directory / "waits").exists, "the background process works")
    with thrown_at(receiver):
        with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])], timeout=20) as association:
            assert association.store(CT, "1.2.3", instance_of(CT, "1.2.3")) == 0
            association.release()
        begin = time.monotonic()
        receiver.process.send_signal(signal.SIGTERM)
        assert receiver.process.wait(GRACE) == 0, receiver.log
    assert (receiver.directory / "cleaned").exists()
    assert "killed" not in receiver.log
    figure(f"in a flood: ended after {time.monotonic() - begin:.1f} s")


def test_fault_16_processes_in_c_code_follow_a_killed_supervisor(ours: Start, figure: Callable[[str], None]) -> None:
    receiver = ours("-pm", "--plugin", "in_c", files={"in_c.py": IN_C_CODE})
    with ExitStack() as stack:
        association = stack.enter_context(RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]))
        association.request(store_rq(CT, "1.2.3"), instance_of(CT, "1.2.3"))
        files = [receiver.directory / name for name in ("receives", "works")]
        until(lambda: all(path.exists() and path.read_text() for path in files), "both are in C code")
        children = receiver.workers()
        assert {int(path.read_text()) for path in files} <= children
        stack.callback(kill_all, children)  # those that stay would run for ever
        receiver.kill()
        begin = time.monotonic()
        until(lambda: not any(map(is_alive, children)), "the children end", WITHIN)
        figure(f"killed, with children in C code: they ended after {time.monotonic() - begin:.1f} s")
