"""`dcmrecvctl upgrade`."""

from __future__ import annotations

import argparse
from typing import Any

from dcmrecv_core.ctl.drain import add_limit
from dcmrecv_core.ctl.receiver import Receiver, Write
from dcmrecv_core.net.control.reading import ask_counters

UPGRADE_SECONDS = 120.0
"""A new program has 60 seconds to start, and 10 to take over; deliveries under way may take 8 in between."""


def add_commands(commands: Any, which: argparse.ArgumentParser) -> None:
    text = "let the program that is installed now take over, without refusing or cutting any association"
    parser = commands.add_parser("upgrade", parents=[which], help=text, description=f"Let{text[3:]}.")
    add_limit(parser)
    parser.set_defaults(run=run)


def run(receiver: Receiver, arguments: argparse.Namespace, write: Write) -> None:
    """Return when the new program serves. Raises CommandFailedError, with the reason, if it does not: then the old one
    goes on; ControlConnectionError."""
    old = ask_counters(receiver.socket).pid
    answer = receiver.ask("upgrade", seconds=UPGRADE_SECONDS, limit=arguments.limit)
    write(f"process {answer['pid']} serves, process {old} ends when its associations have ended\n")
