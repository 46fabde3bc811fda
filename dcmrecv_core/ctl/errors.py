"""What ends a command."""

from __future__ import annotations


class CommandError(Exception):
    """The command cannot do what it says; the text says why."""
