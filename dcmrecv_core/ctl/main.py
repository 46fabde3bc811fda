"""The command line of `dcmrecvctl`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dcmrecv_core.api.errors import StartError
from dcmrecv_core.api.version import DATE, __version__
from dcmrecv_core.config.configuration import Configuration
from dcmrecv_core.ctl import drain, queue, refusals, reload, send_test, status, uids, unit, upgrade
from dcmrecv_core.ctl.checking import check
from dcmrecv_core.ctl.receiver import CommandError, Receiver
from dcmrecv_core.delivery.opening import use
from dcmrecv_core.delivery.store import StoreError
from dcmrecv_core.logs.records import escape_controls_by_line
from dcmrecv_core.net.control.client import CommandFailedError, ControlConnectionError, socket_of

_COMMANDS = (status, refusals, reload, drain, upgrade, queue, check, send_test, unit, uids)
"""Modules with commands, in the order of the help: each adds its parsers, and `run` of an argument is called with the
`Receiver`, the arguments, and what writes to standard output; `run_alone` without a receiver. Both may return an exit
code."""

_TAKES_ARGUMENTS = frozenset(("check", "unit"))
"""Commands about a receiver with these arguments."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `dcmrecvctl` with `argv`, or sys.argv; returns its exit code: 0, 1 if the command fails, 2 if it is none."""
    own, after = _divided(sys.argv[1:] if argv is None else argv)
    arguments = parser().parse_args(own)
    arguments.after = after
    try:
        if "run_alone" in arguments:
            code: int = arguments.run_alone(arguments, sys.stdout.write)
        else:
            code = arguments.run(_receiver(arguments), arguments, sys.stdout.write) or 0
        sys.stdout.flush()
        return code
    except (CommandError, CommandFailedError, ControlConnectionError, StoreError, StartError) as error:
        sys.stderr.write(f"dcmrecvctl: {escape_controls_by_line(str(error))}\n")
        return 1
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """All commands; the options that say which receiver may come before or after them."""
    which = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    which.add_argument("--state-dir", metavar="DIR", help="its state directory (default: .dcmrecv)")
    which.add_argument("--socket", metavar="FILE", help="its control socket (default: control.sock in there)")
    which.add_argument("--settings", metavar="FILE", help="its settings file, which says where that directory is")
    made = argparse.ArgumentParser(
        prog="dcmrecvctl", description="Look after a dcmrecv receiver, running or not.", parents=[which]
    )
    made.add_argument("--version", action="version", version=f"dcmrecvctl {__version__} {DATE}")
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    for module in _COMMANDS:
        module.add_commands(commands, which)
    return made


def _divided(argv: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Our own arguments, and those after `--`, which are dcmrecv's if the command wants some."""
    at = list(argv).index("--") if "--" in argv else len(argv)
    if _TAKES_ARGUMENTS.isdisjoint(argv[:at]):
        return argv, ()
    return argv[:at], argv[at + 1 :]


def _receiver(arguments: argparse.Namespace) -> Receiver:
    """Raises StartError if the settings file cannot be used."""
    directory = _state_directory(arguments)
    if "socket" in arguments:
        return Receiver(Path(arguments.socket), directory)
    return Receiver(socket_of(directory or Path(".dcmrecv")), directory or Path(".dcmrecv"))


def _state_directory(arguments: argparse.Namespace) -> Path | None:
    """None if nothing says where it is."""
    if "state_dir" in arguments:
        return Path(arguments.state_dir)
    if "settings" in arguments:
        line = Configuration("dcmrecv", ["--settings", arguments.settings], port_optional=True).line
        use(line.settings)
        return line.settings.state_directory
    return None
