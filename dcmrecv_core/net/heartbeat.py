"""Shared memory with a slot for each worker: the time of its last heartbeat, which hook is running, what is under way.

The worker writes its slot each second, the supervisor reads it; neither makes a system call for that.
"""

from __future__ import annotations

import mmap
import struct

from dcmrecv_core.net import under_way
from dcmrecv_core.net.record import AssociationRecord, RecordBoard
from dcmrecv_core.net.under_way import UnderWay

_HEAD = 16
_SLOT = _HEAD + under_way.SIZE
_BEAT = struct.Struct("=d")
_BEAT_OFFSET = 8
_OVERDUE = 128
"""A bit of the flag; the others have the number of the hook."""


class Heartbeat:
    """A slot of a `HeartbeatBoard`. `flag` (one byte) is set to the hook's number (`PluginLimits.number`) when a hook
    begins and to 0 when it ends. `record` has the association that the worker serves, `under_way` names it."""

    __slots__ = ("_view", "flag", "record", "under_way")

    def __init__(self, view: memoryview, record: AssociationRecord | None = None) -> None:
        self._view = view
        self.record = record or AssociationRecord()
        self.flag = view[:1]
        self.under_way = UnderWay(view[_HEAD:])

    def beat(self, now: float) -> None:
        """Record that the interpreter runs at `now` (monotonic seconds)."""
        _BEAT.pack_into(self._view, _BEAT_OFFSET, now)

    @property
    def last(self) -> float:
        """Monotonic time of the last `beat`."""
        beat: float = _BEAT.unpack_from(self._view, _BEAT_OFFSET)[0]
        return beat

    @property
    def hook(self) -> int:
        """The number of the running hook, 0 for none."""
        return self.flag[0] & ~_OVERDUE

    @property
    def in_hook(self) -> bool:
        return bool(self.flag[0])

    @property
    def overdue(self) -> bool:
        """Whether `HookTimeout` was raised in the running hook."""
        return bool(self.flag[0] & _OVERDUE)

    def mark_overdue(self) -> None:
        """`HookTimeout` is raised in the running hook now. The end of the hook clears this, as it is the same byte."""
        self.flag[0] |= _OVERDUE


class HeartbeatBoard:
    """Anonymous shared memory with `count` slots, with `records` also for associations; made before the first fork."""

    def __init__(self, count: int, *, records: bool = False) -> None:
        self._records = RecordBoard(count) if records else None
        self._memory = memoryview(mmap.mmap(-1, count * _SLOT))
        self._free = list(range(count))

    def take(self, now: float) -> tuple[int, Heartbeat]:
        """A fresh slot and its number. The caller never has more than `count` at a time."""
        number = self._free.pop()
        record = None if self._records is None else self._records.record(number)
        heartbeat = Heartbeat(self._memory[number * _SLOT : (number + 1) * _SLOT], record)
        heartbeat.flag[0] = 0
        heartbeat.under_way.clear()
        heartbeat.beat(now)
        return number, heartbeat

    def give_back(self, number: int) -> None:
        self._free.append(number)
