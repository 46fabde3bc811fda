"""`dcmrecvctl drain`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

from dcmrecv_core.counters.document import AssociationStatus
from dcmrecv_core.ctl.receiver import Receiver, Write
from dcmrecv_core.ctl.tables import clock_time
from dcmrecv_core.logs.records import escape_controls
from dcmrecv_core.net.control.client import ControlConnectionError
from dcmrecv_core.net.control.reading import ask_counters

LOOK_SECONDS = 0.5


def add_commands(commands: Any, which: argparse.ArgumentParser) -> None:
    text = "let the receiver end when the running associations have ended, and wait for that"
    parser = commands.add_parser("drain", parents=[which], help=text, description=f"Let{text[3:]}.")
    add_limit(parser)
    parser.set_defaults(run=run)


def add_limit(parser: argparse.ArgumentParser) -> None:
    """The parameter of all commands that drain."""
    text = "the longest time for them (default: that of --drain, else no limit)"
    parser.add_argument("limit", metavar="SECONDS", nargs="?", type=_seconds, help=text)


def run(receiver: Receiver, arguments: argparse.Namespace, write: Write) -> None:
    """Return when it has ended. Raises ControlConnectionError, CommandFailedError."""
    pid = ask_counters(receiver.socket).pid
    receiver.ask("drain", limit=arguments.limit)
    shown = None
    while True:
        try:
            counters = ask_counters(receiver.socket)
        except ControlConnectionError:
            break  # it has ended, and its socket is gone
        if counters.pid != pid:
            break  # and was started again
        line = _line(counters.associations)
        if line != shown:
            write(line + "\n")
            sys.stdout.flush()
            shown = line
        time.sleep(LOOK_SECONDS)
    write(f"process {pid} has ended\n")


def _line(associations: Sequence[AssociationStatus]) -> str:
    names = [f"{each.calling_ae_title}@{each.peer_address} since {clock_time(each.since)}" for each in associations]
    count = "1 association" if len(names) == 1 else f"{len(names)} associations"
    return escape_controls(f"{count} left" + (": " if names else "") + ", ".join(names))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return seconds
