"""`dcmrecvctl reload`."""

from __future__ import annotations

import argparse
from typing import Any

from dcmrecv_core.ctl.receiver import Receiver, Write

RELOAD_SECONDS = 90.0
"""The receiver checks new settings for 30 seconds at most, perhaps after those of an earlier reload."""


def add_commands(commands: Any, which: argparse.ArgumentParser) -> None:
    text = "let the receiver read its settings again, and say whether it uses them"
    commands.add_parser("reload", parents=[which], help=text, description=f"Let{text[3:]}.").set_defaults(run=run)


def run(receiver: Receiver, arguments: argparse.Namespace, write: Write) -> None:
    """Raises CommandFailedError, with the reason, if it refuses them; ControlConnectionError."""
    receiver.ask("reload", seconds=RELOAD_SECONDS)
    write("settings reloaded\n")
