"""The receiver that a command is about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from dcmrecv_core.counters.document import Counters
from dcmrecv_core.net.control import client, reading

Write = Callable[[str], object]


class CommandError(Exception):
    """The command cannot do what it says; the text says why."""


class Receiver(NamedTuple):
    """Its control socket, and its state directory; None if only the socket was given."""

    socket: Path
    state_directory: Path | None

    @property
    def known_state_directory(self) -> Path:
        """Raises CommandError if it is not known."""
        if self.state_directory is None:
            raise CommandError("this command needs --state-dir or --settings, --socket does not say where queues are")
        return self.state_directory

    def ask(self, command: str, *, seconds: float | None = client.ANSWER_SECONDS, **arguments: Any) -> dict[str, Any]:
        """Its answer, which has to come within so many seconds (None: at any time). Raises CommandFailedError if it
        cannot do that, ControlConnectionError if it cannot be asked."""
        return client.ask(self.socket, command, seconds=seconds, **arguments)

    def counters(self) -> Counters:
        """What it counts, with its queues if the state directory is known. Raises as `ask`."""
        counters = reading.ask_counters(self.socket)
        return counters if self.state_directory is None else reading.with_queues(counters, self.state_directory)
