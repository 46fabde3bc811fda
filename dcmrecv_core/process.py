"""What the program does to its own process: standard streams, stray signals, a quiet end by Ctrl-C, an end despite
threads.

What it prints goes through `write_out` and `write_error`, which do not mind a reader that has seen enough.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import TextIO

_STRAY_NAMES = ("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPOLL", "SIGPWR", "SIGSTKFLT")
STRAY = frozenset(
    number
    for number in signal.valid_signals()
    if number >= getattr(signal, "SIGRTMIN", math.inf) or signal.Signals(number).name in _STRAY_NAMES
)
"""Signals that mean nothing to the receiver and would end it: log rotation sends SIGUSR1 to many services, a wrong
process number in a script any of them. SIGQUIT still ends it, with a core dump."""


def prepare() -> None:
    """Open the standard streams that the caller has closed, ignore stray signals, let Ctrl-C end the process without a
    traceback until the supervisor handles it, and let a SIGHUP wait for that."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
    for number in STRAY:
        if signal.getsignal(number) is signal.SIG_DFL:  # a plugin may have a use for one, later
            signal.signal(number, signal.SIG_IGN)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])


def write_out(text: str) -> bool:
    """Write `text` to standard output; False if its reader has closed it, as `| head -1` does.

    Raises OSError if it cannot be written for another reason, for example on a full disk.
    """
    try:
        _write(sys.stdout, text)
    except BrokenPipeError:
        return False
    return True


def write_error(text: str) -> None:
    """Write `text` to standard error, if it can be written."""
    with suppress(OSError):
        _write(sys.stderr, text)


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except OSError:
        # what is buffered has nowhere to go: Python would try again at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise


def end_despite_threads(code: int) -> None:
    """End the process with `code` now if a plugin has left threads: the interpreter would wait for them, perhaps for
    ever."""
    if all(thread.daemon or thread is threading.main_thread() for thread in threading.enumerate()):
        return
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
