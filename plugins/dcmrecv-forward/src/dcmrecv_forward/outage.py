"""A destination that is down: tried again after growing pauses, and told in the log once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from dcmrecv_forward.errors import Unreachable

log = logging.getLogger("dcmrecv.forward")

LONGEST_PAUSE = 60.0
"""Seconds. Shorter than the receiver's own longest pause between two tries of an instance, which is 5 minutes: what
is tried next finds the destination when it is back."""


class Outage:
    """Whether a destination is down. While it is, each delivery fails at once until the pause is over: otherwise each
    study that waits would connect, and wait for the time-out, by itself."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._why = ""
        self._since = self._next_try = self._pause = 0.0
        self._failed = 0

    def check(self) -> None:
        """Raises Unreachable during a pause."""
        if self._why and self._clock() < self._next_try:
            self._failed += 1
            raise Unreachable(f"{self._name} is down: {self._why}")

    def failed(self, error: Unreachable) -> None:
        """It takes nothing: one warning for the whole outage."""
        now = self._clock()
        self._failed += 1
        if not self._why:
            self._since, self._pause = now, 0.5
            log.warning("destination %s is down, instances for it wait: %s", self._name, error)
        self._why = str(error)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._next_try = self._clock() + self._pause
        log.debug("destination %s: %s; next try in %g s", self._name, error, self._pause)

    def worked(self) -> None:
        """It has answered."""
        if self._why:
            seconds, self._why = self._clock() - self._since, ""
            log.info("destination %s is back after %.0f s, %d tries failed", self._name, seconds, self._failed)
            self._failed = 0
