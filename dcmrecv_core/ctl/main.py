"""The command line of `dcmrecvctl`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dcmrecv_core.api.errors import StartError
from dcmrecv_core.api.version import DATE, __version__
from dcmrecv_core.config.configuration import Configuration
from dcmrecv_core.ctl import queue, uids
from dcmrecv_core.ctl.queue import CommandError
from dcmrecv_core.delivery.store import StoreError


def main(argv: Sequence[str] | None = None) -> int:
    """Run `dcmrecvctl` with `argv`, or sys.argv; returns its exit code: 0, 1 if the command fails, 2 if it is none."""
    arguments = parser().parse_args(argv)
    try:
        arguments.run(arguments, _state_directory(arguments), sys.stdout.write)
    except (CommandError, StoreError, StartError) as error:
        sys.stderr.write(f"dcmrecvctl: {error}\n")
        return 1
    except BrokenPipeError:  # the reader has seen enough
        sys.stderr.close()
    return 0


def parser() -> argparse.ArgumentParser:
    """All commands; the options that say which receiver may come before or after them."""
    which = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    which.add_argument("--state-dir", metavar="DIR", help="its state directory (default: .dcmrecv)")
    which.add_argument("--settings", metavar="FILE", help="its settings file, which says where that is")
    made = argparse.ArgumentParser(
        prog="dcmrecvctl", description="Look after a dcmrecv receiver, running or not.", parents=[which]
    )
    made.add_argument("--version", action="version", version=f"dcmrecvctl {__version__} {DATE}")
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    queue.add_commands(commands, which)
    uids.add_command(commands, which)
    return made


def _state_directory(arguments: argparse.Namespace) -> Path:
    """Raises StartError if the settings file cannot be used."""
    if "state_dir" in arguments:
        return Path(arguments.state_dir)
    if "settings" in arguments:
        line = Configuration("dcmrecv", ["--settings", arguments.settings], port_optional=True).line
        return line.settings.state_directory
    return Path(".dcmrecv")
