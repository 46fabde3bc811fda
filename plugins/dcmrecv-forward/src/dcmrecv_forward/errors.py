"""Why an instance was not sent, besides the core's `Undeliverable` (the instance itself is refused)."""

from __future__ import annotations


class NotSent(Exception):
    """This instance was not sent; it is tried again, and others may pass meanwhile."""


class Unreachable(NotSent):
    """The destination takes nothing now: not reached, does not answer, refuses associations or is full."""


class ConnectionLost(Unreachable):
    """The peer ended the connection: normal if it was idle, so one that was kept is opened anew at once."""
