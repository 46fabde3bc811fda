"""The last hour: what was counted every ten seconds, in the memory of this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

STEP = 10.0
"""Seconds between two samples."""

SPAN = 3600.0
"""Seconds that are kept."""


class Sample(NamedTuple):
    """What was counted up to the time `at` (seconds of a monotonic clock), and what was open then."""

    at: float
    stored: int
    refused: int
    bytes: int
    open: int


class Interval(NamedTuple):
    """What was between two samples: `rates` are per second. `age` is how many seconds ago it ended."""

    age: float
    seconds: float
    stored: float
    refused: float
    bytes: float
    open: int


@dataclass(slots=True)
class History:
    """The samples of the last hour. The server's threads read while one thread adds."""

    _samples: deque[Sample]

    def __init__(self) -> None:
        self._samples = deque(maxlen=int(SPAN / STEP) + 1)

    def add(self, status: dict[str, Any], now: float) -> None:
        totals = status["totals"]
        instances = totals["instances"]
        refused = instances["refused"] + totals["associations"]["rejected"]
        self._samples.append(Sample(now, instances["stored"], refused, totals["bytes"], len(status["associations"])))

    def intervals(self, now: float) -> Iterator[Interval]:
        """From the oldest to the newest. Left out is where a counter went back: the receiver began to count again."""
        for before, after in pairwise(tuple(self._samples)):
            seconds = after.at - before.at
            counted = [later - earlier for earlier, later in zip(before[1:4], after[1:4], strict=True)]
            if seconds > 0 and min(counted) >= 0 and now - after.at < SPAN:
                stored, refused, size = (value / seconds for value in counted)
                yield Interval(now - after.at, seconds, stored, refused, size, after.open)
