"""What one process counts. It alone writes, until it has ended; then the supervisor closes what it has left open.

All times in it are monotonic seconds, which are the same in all processes.
"""

from __future__ import annotations

from bisect import bisect_left
from contextlib import suppress
from enum import IntEnum
from struct import Struct
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from dcmrecv_core.api.outcomes import Ended
from dcmrecv_core.counters.refusals import RefusalCounts, RefusalRing

if TYPE_CHECKING:
    from dcmrecv_core.api.model import Association

ENDS = tuple(ended for ended in Ended if ended is not Ended.REJECTED)
"""How an accepted association can end."""

INSTANCE_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds from a C-STORE request to its response."""

ASSOCIATION_BOUNDS = (0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Seconds from an accepted association's request to its end."""

MAX_HOOKS = 128
MAX_PLUGIN_COUNTERS = 64

# The numbers of the cells of eight bytes. A cell is written at once, and never read half.
ACCEPTED, REJECTED, STORED, REFUSED, DISCARDED, BYTES, ECHOES = range(7)
_FIRST_END = 7
_PID, _DOING, _IS_OPEN, _INSTANCES_BEFORE, _BYTES_BEFORE = range(_FIRST_END + len(ENDS), _FIRST_END + len(ENDS) + 5)
_FIRST_INSTANCE_BUCKET = _BYTES_BEFORE + 1
_FIRST_ASSOCIATION_BUCKET = _FIRST_INSTANCE_BUCKET + len(INSTANCE_BOUNDS) + 1
_FIRST_TIME = _FIRST_ASSOCIATION_BUCKET + len(ASSOCIATION_BOUNDS) + 1
_INSTANCE_SECONDS, _ASSOCIATION_SECONDS, _SINCE, _BEGAN, _LAST, _HOOK_SINCE = range(6)
_FIRST_HOOK = _FIRST_TIME + 6
_FIRST_PLUGIN_COUNTER = _FIRST_HOOK + 2 * MAX_HOOKS
_CELLS = _FIRST_PLUGIN_COUNTER + MAX_PLUGIN_COUNTERS

_NAMES = Struct("16s64s64s46sH?")  # id, titles, address, port, TLS
_NAMES_OFFSET = 8 * _CELLS
_COUNTS_OFFSET = -(-(_NAMES_OFFSET + _NAMES.size) // 8) * 8
_RING_OFFSET = _COUNTS_OFFSET + RefusalCounts.SIZE
SIZE = -(-(_RING_OFFSET + RefusalRing.SIZE) // 8) * 8


class Doing(IntEnum):
    """What a process does. The first three are those of a worker, the others of the supervisor."""

    NOTHING = 0
    STARTING = 1
    IDLE = 2
    SERVING = 3
    NOT_READY = 4
    READY = 5
    DRAINING = 6
    STOPPING = 7


class Histogram(NamedTuple):
    """How often something took at most so many seconds (`bounds`) and more than the bound before, the last of the
    `counts` being for longer ones; all `seconds` together."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    seconds: float


class LiveAssociation(NamedTuple):
    """An association that is open; `last` is the time of its last instance, 0 if there was none."""

    id: str
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    peer_port: int
    tls: bool
    since: float
    instances: int
    bytes: int
    last: float


class CounterSlot:
    """A part of a `CounterMemory`."""

    __slots__ = ("_cells", "_names", "_times", "hook_calls", "plugin_counters", "refusal_counts", "refusals")

    def __init__(self, view: memoryview) -> None:
        self._cells = view[: 8 * _CELLS].cast("Q")
        self._times = view[8 * _FIRST_TIME : 8 * _CELLS].cast("d")
        self._names = view[_NAMES_OFFSET : _NAMES_OFFSET + _NAMES.size]
        self.hook_calls = HookCalls(view[8 * _FIRST_HOOK : 8 * _FIRST_PLUGIN_COUNTER])
        self.plugin_counters = self._cells[_FIRST_PLUGIN_COUNTER:]
        self.refusal_counts = RefusalCounts(view[_COUNTS_OFFSET : _COUNTS_OFFSET + RefusalCounts.SIZE])
        self.refusals = RefusalRing(view[_RING_OFFSET : _RING_OFFSET + RefusalRing.SIZE])

    # Written by the process

    def be(self, doing: Doing, now: float) -> None:
        """The process does this since `now`."""
        self._times[_SINCE] = now
        self._cells[_DOING] = doing

    def begin_process(self, pid: int, doing: Doing, now: float) -> None:
        """The process has just begun."""
        self._cells[_PID] = pid
        self._times[_HOOK_SINCE] = 0.0
        self.be(doing, now)

    def begin_association(self, association: Association, now: float, *, tls: bool = False) -> None:
        """An association is accepted, over `tls` or not."""
        cells, times = self._cells, self._times
        cells[ACCEPTED] += 1
        cells[_INSTANCES_BEFORE] = self._instances
        cells[_BYTES_BEFORE] = cells[BYTES]
        times[_BEGAN] = now
        times[_LAST] = 0.0
        _NAMES.pack_into(
            self._names,
            0,
            association.id.encode(),
            association.calling_ae_title.encode("utf-8", "replace"),
            association.called_ae_title.encode("utf-8", "replace"),
            association.peer_address.encode(),
            association.peer_port,
            tls,
        )
        cells[_IS_OPEN] = 1  # last: from now on readers believe the rest

    def count_instance(self, result: int, size: int, began: float) -> None:
        """A C-STORE of a data set of `size` bytes is answered, `result` being STORED, REFUSED or DISCARDED; its request
        came at `began`."""
        cells, times, now = self._cells, self._times, monotonic()
        cells[result] += 1
        cells[BYTES] += size
        cells[_FIRST_INSTANCE_BUCKET + bisect_left(INSTANCE_BOUNDS, now - began)] += 1
        times[_INSTANCE_SECONDS] += now - began
        times[_LAST] = now

    def count(self, cell: int) -> None:
        """One more of ACCEPTED, REJECTED, REFUSED or ECHOES."""
        self._cells[cell] += 1

    def end_association(self, ended: Ended, now: float) -> None:
        """The open association has ended; without one it does nothing."""
        cells, times = self._cells, self._times
        if not cells[_IS_OPEN]:
            return
        cells[_IS_OPEN] = 0
        seconds = now - times[_BEGAN]
        cells[_FIRST_END + ENDS.index(ended)] += 1
        cells[_FIRST_ASSOCIATION_BUCKET + bisect_left(ASSOCIATION_BOUNDS, seconds)] += 1
        times[_ASSOCIATION_SECONDS] += seconds

    def note_hook(self, since: float) -> None:
        """A hook runs since then; 0: none, as far as is known."""
        self._times[_HOOK_SINCE] = since

    # Written by the supervisor

    def end_process(self, now: float) -> None:
        """The process has ended; an association that it has left open is lost."""
        with suppress(ValueError, OverflowError):  # native code of a plugin may have written anything here
            self.end_association(Ended.LOST, now)
        self._cells[_PID] = 0
        self._cells[_DOING] = Doing.NOTHING

    # Read by all

    @property
    def _instances(self) -> int:
        cells = self._cells
        return cells[STORED] + cells[REFUSED] + cells[DISCARDED]

    @property
    def pid(self) -> int:
        return self._cells[_PID]

    @property
    def doing(self) -> Doing:
        return Doing(self._cells[_DOING])

    @property
    def since(self) -> float:
        return self._times[_SINCE]

    @property
    def hook_since(self) -> float:
        return self._times[_HOOK_SINCE]

    @property
    def totals(self) -> tuple[int, ...]:
        """The cells from ACCEPTED to ECHOES."""
        return tuple(self._cells[:_FIRST_END])

    @property
    def ends(self) -> tuple[int, ...]:
        """How many associations have ended in each way of `ENDS`."""
        return tuple(self._cells[_FIRST_END : _FIRST_END + len(ENDS)])

    @property
    def instance_durations(self) -> Histogram:
        counts = tuple(self._cells[_FIRST_INSTANCE_BUCKET:_FIRST_ASSOCIATION_BUCKET])
        return Histogram(INSTANCE_BOUNDS, counts, self._times[_INSTANCE_SECONDS])

    @property
    def association_durations(self) -> Histogram:
        counts = tuple(self._cells[_FIRST_ASSOCIATION_BUCKET:_FIRST_TIME])
        return Histogram(ASSOCIATION_BOUNDS, counts, self._times[_ASSOCIATION_SECONDS])

    @property
    def association(self) -> LiveAssociation | None:
        """The one that is open."""
        cells, times = self._cells, self._times
        began, names = times[_BEGAN], bytes(self._names)
        found = (
            *(each.rstrip(b"\0").decode("utf-8", "replace") for each in _NAMES.unpack(names)[:4]),
            *_NAMES.unpack(names)[4:],
            began,
            max(self._instances - cells[_INSTANCES_BEFORE], 0),
            max(cells[BYTES] - cells[_BYTES_BEFORE], 0),
            times[_LAST],
        )
        # another one may have begun meanwhile, and the next look will find it
        return LiveAssociation(*found) if cells[_IS_OPEN] and times[_BEGAN] == began else None


class HookCalls:
    """How often each hook, by its number (`PluginLimits.number`), was called, and the seconds that it took."""

    __slots__ = ("_calls", "_seconds")

    def __init__(self, view: memoryview) -> None:
        self._calls = view[: len(view) // 2].cast("Q")
        self._seconds = view[len(view) // 2 :].cast("d")

    def add(self, number: int, seconds: float) -> None:
        self._calls[number] += 1
        self._seconds[number] += seconds

    def of(self, number: int) -> tuple[int, float]:
        return self._calls[number], self._seconds[number]
