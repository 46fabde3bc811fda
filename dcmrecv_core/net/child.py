"""Forking: a child that cannot become a second supervisor, whatever happens in it."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from typing import NoReturn

log = logging.getLogger("dcmrecv.net")

LACKS_STATE = 78
"""Exit code of a worker (EX_CONFIG of sysexits.h): a plugin needs the state directory, which is another receiver's."""


def fork(main: Callable[[], int]) -> int:
    """Run `main` in a child, with all signals blocked, and end it with the code that it returns; the child's process
    id. Raises OSError if there can be no child."""
    # Until the child has handlers of its own, a signal to it would be reported to the supervisor as one to itself.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if not pid:
            _live(main)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _live(main: Callable[[], int]) -> NoReturn:
    code = 1
    try:
        code = main()
    except BaseException:
        # a bug of ours; the supervisor starts another child
        log.critical("a child process ends because of an internal error", exc_info=True)
    finally:
        os._exit(code)


def ended() -> Iterator[tuple[int, int]]:
    """Process id and exit code (a signal's number, negative) of each child that has ended and nobody was told of."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, os.waitstatus_to_exitcode(status)
