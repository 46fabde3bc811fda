"""`dcmrecvctl hash-uid`: what stands for a UID in the log under `--log-uids hashed`."""

from __future__ import annotations

import argparse
from typing import Any

from dcmrecv_core.api.settings import UID_HASH_KEY
from dcmrecv_core.ctl.receiver import CommandError, Receiver, Write
from dcmrecv_core.logs.hashed_uids import hashed_uid


def add_commands(commands: Any, which: argparse.ArgumentParser) -> None:
    """Declare `hash-uid`; `which` has the options that all commands have."""
    text = "show what stands for a UID in the log under --log-uids hashed"
    command = commands.add_parser("hash-uid", parents=[which], help=text, description=f"Show{text[4:]}.")
    command.add_argument("uids", metavar="UID", nargs="+", help="a UID as it was sent, or as it is in a stored file")
    command.set_defaults(run=run)


def run(receiver: Receiver, arguments: argparse.Namespace, write: Write) -> None:
    """Raises CommandError."""
    path = receiver.known_state_directory / UID_HASH_KEY
    try:
        key = path.read_bytes()
    except OSError as error:
        raise CommandError(f"the key cannot be read: {path}: {error.strerror}") from error
    for uid in arguments.uids:
        write(f"{hashed_uid(key, uid)}\n")
