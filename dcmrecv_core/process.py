"""What the program wants of its process: three standard streams, a quiet end by Ctrl-C, and an end at all."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading


def prepare() -> None:
    """Open what the caller has closed of the standard streams, and let Ctrl-C end the process like any other program
    until the supervisor has a better way: a traceback of what was just being imported helps nobody."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def end_if_held_up(code: int) -> None:
    """End the process with `code` now if a plugin has left threads that the interpreter would wait for, for ever
    perhaps."""
    if all(thread.daemon or thread is threading.main_thread() for thread in threading.enumerate()):
        return
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
