"""Forking. Whatever happens in a child, it cannot return into the supervisor's code."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
from collections.abc import Callable, Iterator
from typing import NoReturn

log = logging.getLogger("dcmrecv.net")

LACKS_STATE = 78
"""Exit code of a worker (EX_CONFIG of sysexits.h): a plugin needs the state directory, which is another receiver's."""

OUT_OF_DESCRIPTORS = 71
"""The same (EX_OSERR): it has no free file descriptor, and has said so."""

_PR_SET_PDEATHSIG = 1


def fork(main: Callable[[], int], *, outlives_parent: bool = False) -> int:
    """Run `main` in a child, with all signals blocked; the child exits with the code that `main` returns.

    If this process ends, the kernel kills the child too, whatever it runs, unless it `outlives_parent` (Linux only).
    Returns the child's process id. Raises OSError if the system refuses to fork.
    """
    parent = os.getpid()
    # The child inherits the supervisor's wake-up descriptor: before it has its own handlers, a signal that it got would
    # be reported to the supervisor.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if not pid:
            _run_and_exit(main, None if outlives_parent else parent)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _run_and_exit(main: Callable[[], int], parent: int | None) -> NoReturn:
    code = 1
    try:
        if parent is None or _end_with(parent):
            code = main()
    except BaseException:
        # a bug in dcmrecv; the supervisor starts another child
        log.critical("a child process ends because of an internal error", exc_info=True)
    finally:
        os._exit(code)


def _end_with(parent: int) -> bool:
    """Let the kernel send SIGKILL when `parent` ends; False if it has ended already."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), *[ctypes.c_ulong(0)] * 3)
    return os.getppid() == parent


def state_of(pid: int) -> str:
    """What a child does, by the letter of /proc: T it is stopped, D it waits for a disk, R it runs or waits for a
    processor, S it waits for something else; "" if that is not known."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1].decode()
    except OSError:
        return ""


def reap_ended() -> Iterator[tuple[int, int]]:
    """Reap the children that have ended: process id and exit code of each (minus the signal's number if killed)."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, os.waitstatus_to_exitcode(status)
