"""The status document, read for all clients together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

MAX_AGE = 0.2
"""Seconds for which one document serves all clients: many of them cost no more than one."""


class Source:
    """Gets the document by `read`; used by many threads, which wait for one another."""

    def __init__(self, read: Callable[[], dict[str, Any]], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._document: dict[str, Any] = {}
        self._read_at = float("-inf")

    def status(self) -> dict[str, Any]:
        """A document that is at most MAX_AGE old; raises what `read` raises."""
        with self._lock:
            if self._clock() - self._read_at > MAX_AGE:
                self._document = self._read()
                self._read_at = self._clock()
            return self._document
