"""The man page docs/dcmrecvctl.1, made from the program's own commands and options."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from dcmrecv_core.api.version import DATE, __version__
from dcmrecv_core.ctl.main import parser
from support.docs.blocks import DOCS
from support.docs.man_page import escaped, wrapped

PAGE = DOCS / "dcmrecvctl.1"

_HEAD = """\
.TH DCMRECVCTL 1 {date} "dcmrecv {version}" "User Commands"
.SH NAME
dcmrecvctl \\- look after a dcmrecv receiver
.SH SYNOPSIS
.SY dcmrecvctl
.RI [ options ]
.I command
.RI [ options ]
.YS
.SH DESCRIPTION
.B dcmrecvctl
asks a receiver what it does, and tells it what to do, through its control
socket.
Queues of deliveries it reads from the state directory, whether the receiver
runs or not.
Root may ask, and the user that the receiver runs as.
"""

_TAIL = """\
.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
The command failed; standard error says why.
.TP
.B 2
There is no such command or option.
.TP
.B 3
.BR status :
the receiver answers, and is not ready.
.TP
.B 130
Interrupted with Ctrl\\-C.
.SH FILES
.TP
.I control.sock
The control socket, in the state directory or the first directory of
.BR $RUNTIME_DIRECTORY ;
then the one in the state directory is a link to it.
.SH SEE ALSO
.BR dcmrecv (1)
"""


def page() -> str:
    made = parser()
    text = _HEAD.format(date=DATE, version=__version__)
    text += ".SH OPTIONS\nThe first three say which receiver, before or after the command.\n"
    text += "".join(map(_option, _options(made)))
    text += ".SH COMMANDS\n"
    common = {action.dest for action in _options(made)}
    for name, command in _commands(made):
        text += f".SS {escaped(name)}\n{wrapped(escaped(_sentence(command.description or '')))}\n"
        text += "".join(_option(action) for action in _arguments(command) if action.dest not in common)
    return text + _TAIL


def _commands(made: argparse.ArgumentParser, before: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Those that can be called, with the names of the commands above them."""
    for action in made._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                deeper = list(_commands(command, f"{before}{name} "))
                yield from deeper or [(before + name, command)]


def _arguments(made: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in made._actions if action.help != argparse.SUPPRESS and action.dest != "help"]


def _options(made: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in _arguments(made) if action.option_strings]


def _option(action: argparse.Action) -> str:
    names = ", ".join(f"\\fB{escaped(name)}\\fR" for name in action.option_strings)
    value = "" if action.nargs == 0 else f"\\fI{escaped(_value(action))}\\fR"
    return f".TP\n{' '.join(filter(None, (names, value)))}\n{wrapped(escaped(_sentence(action.help or '')))}\n"


def _value(action: argparse.Action) -> str:
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    return action.metavar or "|".join(action.choices or [action.dest])


def _sentence(text: str) -> str:
    """Help texts begin small and end without a full stop."""
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."
