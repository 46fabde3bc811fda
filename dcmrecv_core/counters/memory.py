"""The shared memory with what all processes of a receiver count."""

from __future__ import annotations

import mmap
import time
from collections.abc import Sequence

from dcmrecv_core.counters.slot import SIZE, CounterSlot

OTHERS = 64
"""Slots for the supervisor and for processes that are no workers, as those of the hook `background`; of more of them
the counters of plugins are not kept."""


class CounterMemory:
    """Anonymous shared memory with a slot for each of `workers` workers, one for the supervisor, and some for other
    processes. Made before the first fork."""

    def __init__(self, workers: int) -> None:
        count = workers + OTHERS
        self._memory = memoryview(mmap.mmap(-1, count * SIZE))
        self.slots = [CounterSlot(self._memory[number * SIZE : (number + 1) * SIZE]) for number in range(count)]
        self.workers: Sequence[CounterSlot] = self.slots[:workers]
        self.supervisor = self.slots[workers]
        self.receiving = self.slots[: workers + 1]
        """Those of workers and supervisor: others receive nothing."""
        self.made_at = time.time()
        """Since when they count, in seconds since 1970."""
        self._others = dict[str, CounterSlot]()

    def other(self, title: str) -> CounterSlot:
        """The slot of the one process with this title; the same when that is started again. The supervisor calls
        it."""
        if title not in self._others:
            number = len(self.workers) + 1 + len(self._others)
            free = self.slots[number] if number < len(self.slots) else CounterSlot(memoryview(bytearray(SIZE)))
            self._others[title] = free
        return self._others[title]
