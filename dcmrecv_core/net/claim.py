"""Who decides what an idle worker does next: the supervisor, with a hand-over, or the worker, with a connection that it
has accepted. The kernel lets only one of them have the claim (an eventfd), so a hand-over never waits for the end of
another association.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress

CAN_BE_SHARED = hasattr(os, "eventfd") and hasattr(select, "EPOLLEXCLUSIVE")
"""Whether the system has what workers need to accept connections (Linux). Elsewhere only the supervisor does."""


class Claim:
    """The claim to one worker. Until `open` no other process wants it: `take` always succeeds."""

    __slots__ = ("_fd",)

    def __init__(self) -> None:
        self._fd: int | None = None

    def open(self) -> None:
        """From now on a claim is there only after an `offer`. Raises OSError without a free descriptor."""
        if CAN_BE_SHARED:
            self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def offer(self) -> None:
        """The worker is idle; the last claim was taken."""
        if self._fd is not None:
            os.eventfd_write(self._fd, 1)

    def take(self) -> bool:
        """Whether the claim was there, and is the caller's."""
        if self._fd is None:
            return True
        with suppress(BlockingIOError):
            os.eventfd_read(self._fd)
            return True
        return False

    def close(self) -> None:
        """Close this process's copy."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
