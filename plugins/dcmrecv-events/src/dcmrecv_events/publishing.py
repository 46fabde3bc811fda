"""What each kind of server offers to the hooks, and how it fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dcmrecv_core import TryAgain
from dcmrecv_events.messages import Message


class ConnectionLost(TryAgain):
    """The connection ended: normal if it was idle, or if the server was started again, so it is opened anew at once."""


class Publisher(Protocol):
    """Publishes to one destination; used by one process, one call at a time."""

    def publish(self, messages: Sequence[Message]) -> None:
        """Publish in this order, over the open connection or a new one; return when the server has confirmed all.

        Raises Undeliverable if the server refuses one for good, TryAgain for anything else that can be expected. None
        of the messages counts as published then.
        """

    def close(self) -> None:
        """End the connection."""
