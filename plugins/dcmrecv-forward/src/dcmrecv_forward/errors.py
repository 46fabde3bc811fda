"""Why an instance was not sent, besides the core's `Undeliverable` (the instance itself is refused)."""

from __future__ import annotations

from dcmrecv_core import TryAgain


class NotSent(TryAgain):
    """This instance was not sent: the receiver calls again, and delivers other studies meanwhile."""


class ConnectionLost(NotSent):
    """The peer ended the connection: normal if it was idle, so one that was kept is opened anew at once."""


class Unreachable(Exception):
    """The destination takes nothing now, whatever it is: it is not there, or lets no sender in."""
