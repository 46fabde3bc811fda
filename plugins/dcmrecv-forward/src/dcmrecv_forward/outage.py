"""A destination that is down: tried again after growing pauses, and told in the log once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger("dcmrecv.forward")

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds between two tries, doubled each time."""


class Outage:
    """What one destination did last. It waits here, in the call for one instance, and not in the receiver's queue:
    there each study would find out by itself that the destination is down, and the log would have a line for each."""

    def __init__(
        self,
        name: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name = name
        self._clock = clock
        self._sleep = sleep
        self._down_since: float | None = None
        self._pause = 0.0

    def wait(self, error: Exception) -> None:
        """The destination takes nothing: one warning, and a pause before the next try."""
        if self._down_since is None:
            self._down_since = self._clock()
            log.warning("destination %s is down, instances for it wait: %s", self._name, error)
        else:
            log.debug("destination %s is still down: %s", self._name, error)
        self._pause_longer()

    def slow_down(self) -> None:
        """An instance was not sent, though the destination was there. If it was not the first in a row, pause: the
        receiver comes with the next study at once."""
        if self._pause:
            self._pause_longer()
        else:
            self._pause = FIRST_PAUSE / 2

    def worked(self) -> None:
        """It has answered."""
        if self._down_since is not None:
            log.info("destination %s is back after %.0f s", self._name, self._clock() - self._down_since)
        self._down_since, self._pause = None, 0.0

    def _pause_longer(self) -> None:
        self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
        self._sleep(self._pause)
