"""A command executed for what was received: its environment, its standard input, its output in the log."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable

from dcmrecv_actions.commands import Command
from dcmrecv_actions.fields import Fields, variable
from dcmrecv_actions.running import run
from dcmrecv_core import TryAgain, Undeliverable

log = logging.getLogger("dcmrecv.actions")

MOST_LINES = 200
LONGEST_LINE = 1000
"""How much of the output of one run is logged: lines, and characters of a line."""


def execute(command: Command, fields: Fields, files: Iterable[str] = ()) -> None:
    """Run `command` to its end; its standard input has `files`, one a line.

    Raises TryAgain if its exit code is not 0, Undeliverable if it cannot be executed with these values.
    """
    arguments = command.arguments(fields)
    known = {variable(name): value for name, value in fields.items() if value is not None}
    output = _Output(command.option)
    log.debug("%s: executing %s", command.option, arguments)
    with tempfile.TemporaryFile() as listed:
        listed.writelines(os.fsencode(f"{file}\n") for file in files)
        listed.seek(0)
        try:
            code = run(arguments, {**os.environ, **known}, listed, output.add)
        except ValueError as error:
            raise Undeliverable(f"{command.option}: {error}") from error
    output.end()
    if code:
        said = f": {output.last}" if output.last else ", and said nothing"
        raise TryAgain(f"{command.option}: {arguments[0]} ended with exit code {code}{said}")


class _Output:
    """Logs what a command says, up to a limit."""

    def __init__(self, option: str) -> None:
        self._option = option
        self._lines = 0
        self.last = ""
        """The last line that is not blank."""

    def add(self, line: str) -> None:
        line = line.rstrip()[:LONGEST_LINE]
        self.last = line or self.last
        self._lines += 1
        if self._lines <= MOST_LINES:
            log.info("%s: %s", self._option, line)

    def end(self) -> None:
        if self._lines > MOST_LINES:
            log.info("%s: ... and %d more lines", self._option, self._lines - MOST_LINES)
