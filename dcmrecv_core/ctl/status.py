"""`dcmrecvctl status`, and `top`, which shows the same again and again."""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from dcmrecv_core.ctl.receiver import Receiver, Write
from dcmrecv_core.ctl.tables import status_lines

FRAME_SECONDS = 1.0

NOT_READY = 3
"""Exit code: the receiver answers, and takes no new associations, or cannot store."""

_CLEAR = "\x1b[H\x1b[2J"


def add_commands(commands: Any, which: argparse.ArgumentParser) -> None:
    text = "show who is connected, what was received and refused, the workers and the queues"
    parser = commands.add_parser("status", parents=[which], help=text, description=f"Show{text[4:]}.")
    parser.add_argument("--json", action="store_true", help="all that is counted, as JSON")
    parser.set_defaults(run=run)
    text = "show the status anew each second, until q or Ctrl-C"
    commands.add_parser("top", parents=[which], help=text, description=f"Show{text[4:]}.").set_defaults(run=top)


def run(receiver: Receiver, arguments: argparse.Namespace, write: Write) -> int:
    """`status`; the exit code says whether the receiver is ready. Raises ControlConnectionError, CommandFailedError."""
    counters = receiver.counters()
    if arguments.json:
        write(json.dumps(counters.as_dict(), indent=2) + "\n")
    else:
        for line in status_lines(counters, datetime.now().astimezone()):
            write(line + "\n")
    return 0 if counters.state == "ready" else NOT_READY


def top(receiver: Receiver, arguments: argparse.Namespace, write: Write) -> None:
    """All of it, each second. If standard output is no terminal, without control characters, with an empty line
    between.

    Raises ControlConnectionError, CommandFailedError.
    """
    on_terminal = sys.stdout.isatty()
    with _keys() as keys, suppress(KeyboardInterrupt):
        while True:
            lines = list(status_lines(receiver.counters(), datetime.now().astimezone()))
            if on_terminal:
                columns, rows = shutil.get_terminal_size()
                write(_CLEAR + "\n".join(line[:columns] for line in lines[: rows - 1]))
            else:
                write("\n".join(lines) + "\n\n")
            sys.stdout.flush()
            if select.select(keys, [], [], FRAME_SECONDS)[0] and os.read(keys[0], 1) in (b"q", b"Q", b""):
                write("\n" * on_terminal)
                return


@contextmanager
def _keys() -> Iterator[list[int]]:
    """Standard input, each key at once, if it is a terminal."""
    if not sys.stdin.isatty():
        yield []
        return
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    try:
        yield [fd]
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
