"""The status document, asked from the receiver for all clients together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

MAX_AGE = 0.2
"""Seconds for which one answer serves all clients: many of them cost the receiver no more than one."""


class NoAnswer(Exception):
    """The receiver does not answer; the text says why."""


class Source:
    """Asks by `read`, which raises NoAnswer; used by many threads, which wait for one another."""

    def __init__(self, read: Callable[[], dict[str, Any]], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._answer: dict[str, Any] | NoAnswer = NoAnswer("not asked yet")
        self._asked_at = float("-inf")

    def status(self) -> dict[str, Any]:
        """A document that is at most MAX_AGE old. Raises NoAnswer."""
        with self._lock:
            if self._clock() - self._asked_at > MAX_AGE:
                try:
                    self._answer = self._read()
                except NoAnswer as error:
                    self._answer = error
                self._asked_at = self._clock()
            answer = self._answer
        if isinstance(answer, NoAnswer):
            raise NoAnswer(*answer.args)
        return answer
