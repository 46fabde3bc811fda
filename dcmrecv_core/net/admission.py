"""The admission table: shared memory with a slot for each worker, which says what the worker does and for whom.

Each field has one writer at a time, so nothing is locked, and neither side makes a system call. The worker writes its
heartbeat, whether plugin code is running, and the association it serves: number, address of the peer, since when, and
since when it waits for the peer's next message. The supervisor and the other workers read all that, before they admit
another association. The process that has the claim to an idle worker writes its next association there first, and then
looks whether that may stay: so two of them never both take the last place of a peer.

The supervisor writes three more fields. One says that requests wait for a place, one whether workers may accept
connections themselves (`Door`). The third one is the number of the association that a worker is asked to give up, with
the address of the peer that needs its place; the number makes sure that a late request never ends the next association.
"""

from __future__ import annotations

import mmap
import socket
from enum import IntEnum
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from dcmrecv_core.counters.memory import CounterMemory
from dcmrecv_core.counters.slot import CounterSlot
from dcmrecv_core.net.claim import Claim
from dcmrecv_core.net.record import AssociationRecord, RecordBoard
from dcmrecv_core.net.under_way import UnderWay

LONGEST_HANDSHAKE = 1.5
"""A TLS peer whose association request is not there after so many seconds may have to make room, whatever it sends."""

_SLOT = 256
_OVERDUE = 128
"""A bit of the flag; the others have the number of the hook."""

# native alignment: a number of eight bytes is then written at once, and never read half
_ACTIVITY_OFFSET = 1
_NUMBER, _NUMBER_OFFSET = Struct("@I"), 4
_TIME = Struct("@d")
_BEAT_OFFSET, _SINCE_OFFSET, _WAITING_OFFSET, _PEER_OFFSET = 8, 16, 24, 32
_PLACE = Struct("@xBxxI8xdd8s")
_UNDER_WAY_OFFSET = 128
_EVICTION, _EVICTION_OFFSET = Struct("@I46s"), 64  # 46 bytes: the longest address as text (INET6_ADDRSTRLEN)
_NO_SOURCE = b"\xff\xff\xff\xff"  # the beginning of a multicast address, which no connection comes from


class Activity(IntEnum):
    """What a worker does. `ENDING`: the association is over, its connection and the hooks of its end are not. `AWAY`:
    it has none and takes none, as it tells plugins of a lost one, or ends."""

    IDLE = 0
    HANDSHAKE = 1
    SERVING = 2
    ENDING = 3
    AWAY = 4


_ACTIVITIES = tuple(Activity)


class Door(IntEnum):
    """Whether idle workers may accept connections. `SHUT`: not now; `CLOSED`: never again, so they close their copies
    of the listening sockets."""

    OPEN = 0
    SHUT = 1
    CLOSED = 2


_DOORS = tuple(Door)


class Place(NamedTuple):
    """One association of the table; times are monotonic seconds, `waiting_since` is 0 inside a message.

    `HANDSHAKE` lasts until the association request is read; meanwhile `waiting_since` is when the peer last sent.
    """

    slot: Slot
    activity: Activity
    number: int
    since: float
    waiting_since: float
    peer: bytes


@lru_cache(maxsize=4096)
def peer_key(address: str) -> bytes:
    """What counts as one peer in all limits for an address: an IPv4 address, or the first 64 bits of an IPv6 address.
    A site has a /64 at least, so one host can use any number of its addresses."""
    if ":" in address:
        return socket.inet_pton(socket.AF_INET6, address.partition("%")[0])[:8]
    return _NO_SOURCE + socket.inet_pton(socket.AF_INET, address)


class Slot:
    """The slot of one worker. `flag` (one byte) is set to the hook's number (`PluginLimits.number`) when a hook begins
    and to 0 when it ends. `record` has the association that the worker serves, for `association_ended`; `under_way`
    names it, and the instance, for the log; `counters` has what is counted here, by one worker after the other. The
    process that has the `claim` decides what the worker does next."""

    __slots__ = ("_view", "claim", "counters", "flag", "record", "under_way")

    def __init__(self, view: memoryview, counters: CounterSlot, record: AssociationRecord | None = None) -> None:
        self._view = view
        self.counters = counters
        self.record = record or AssociationRecord()
        self.claim = Claim()
        self.flag = view[:1]
        self.under_way = UnderWay(view[_UNDER_WAY_OFFSET:])

    # Written by who has the claim

    def reserve(self, address: str, now: float, *, handshake: bool) -> None:
        """The worker's next association, with a peer of this address; `rest` takes it back."""
        view = self._view
        view[_PEER_OFFSET : _PEER_OFFSET + 8] = peer_key(address)
        _TIME.pack_into(view, _SINCE_OFFSET, now)
        _TIME.pack_into(view, _WAITING_OFFSET, 0.0)
        view[_ACTIVITY_OFFSET] = Activity.HANDSHAKE if handshake else Activity.SERVING
        _NUMBER.pack_into(view, _NUMBER_OFFSET, self.number + 1)  # last: from now on the supervisor believes the rest

    # Written by the worker

    def beat(self, now: float) -> None:
        """Record that the interpreter runs at `now` (monotonic seconds)."""
        _TIME.pack_into(self._view, _BEAT_OFFSET, now)

    def mark_overdue(self) -> None:
        """`HookTimeout` is raised in the running hook now. The end of the hook clears this, as it is the same byte."""
        self.flag[0] |= _OVERDUE

    def begin(self, address: str, now: float, *, handshake: bool) -> None:
        """The worker has taken another association, with a peer of this address; one that was handed over stands there
        already."""
        self.under_way.begin_connection(address)
        if self.activity is Activity.IDLE:
            self.reserve(address, now, handshake=handshake)

    def wait_since(self, since: float) -> None:
        """The worker waits for the peer's next message since then; 0: it does not."""
        _TIME.pack_into(self._view, _WAITING_OFFSET, since)

    def become(self, activity: Activity) -> None:
        """The worker does this from now on."""
        _TIME.pack_into(self._view, _WAITING_OFFSET, 0.0)
        self._view[_ACTIVITY_OFFSET] = activity

    def rest(self) -> None:
        """The worker's association is over, and the worker idle."""
        self.under_way.clear()
        self.become(Activity.IDLE)

    @property
    def number(self) -> int:
        """Of the worker's last association, counted from 1."""
        number: int = _NUMBER.unpack_from(self._view, _NUMBER_OFFSET)[0]
        return number

    @property
    def newcomer(self) -> str:
        """The address for which the supervisor wants the place of the worker's association; empty if it does not."""
        number, address = _EVICTION.unpack_from(self._view, _EVICTION_OFFSET)
        return address.rstrip(b"\0").decode() if number and number == self.number else ""

    # Written by the supervisor

    def evict(self, number: int, newcomer: str) -> None:
        """Ask the worker to give up its association of this number for a request from `newcomer`; 0: ask no more."""
        _EVICTION.pack_into(self._view, _EVICTION_OFFSET, number, newcomer.encode())

    # Read by the supervisor, in part by other workers

    @property
    def last_beat(self) -> float:
        """Monotonic time of the last `beat`."""
        beat: float = _TIME.unpack_from(self._view, _BEAT_OFFSET)[0]
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

    @property
    def activity(self) -> Activity:
        return _ACTIVITIES[self._view[_ACTIVITY_OFFSET]]

    @property
    def place(self) -> Place:
        """The worker's association, or its last one if it is idle."""
        activity, number, since, waiting_since, peer = _PLACE.unpack_from(self._view)
        return Place(self, _ACTIVITIES[activity], number, since, waiting_since, peer)


class AdmissionTable:
    """Anonymous shared memory with `count` slots, with `records` also for associations; made before the first fork."""

    def __init__(self, count: int, *, records: bool = False) -> None:
        board = RecordBoard(count) if records else None
        self.counters = CounterMemory(count)
        self._memory = memoryview(mmap.mmap(-1, count * _SLOT + 2))
        self.slots = [
            Slot(
                self._memory[number * _SLOT : (number + 1) * _SLOT],
                counters,
                None if board is None else board.record(number),
            )
            for number, counters in enumerate(self.counters.workers)
        ]
        self._activities = self._memory[_ACTIVITY_OFFSET : count * _SLOT : _SLOT]
        self._waiting = self._memory[count * _SLOT :]
        self._free = list(range(count))

    def take(self, now: float) -> tuple[int, Slot]:
        """A fresh slot and its number. The caller never has more than `count` at a time."""
        number = self._free.pop()
        slot = self.slots[number]
        self._clear(number)
        slot.record.close()
        slot.beat(now)
        return number, slot

    def give_back(self, number: int) -> None:
        self._clear(number)
        self._free.append(number)

    def _clear(self, number: int) -> None:
        self._memory[number * _SLOT : (number + 1) * _SLOT] = bytes(_SLOT)

    @property
    def requests_wait(self) -> bool:
        """Whether requests wait for a place, so that only the supervisor admits others. Written by the supervisor."""
        return bool(self._waiting[0])

    @requests_wait.setter
    def requests_wait(self, wait: bool) -> None:
        self._waiting[0] = wait

    @property
    def door(self) -> Door:
        """Written by the supervisor."""
        return _DOORS[self._waiting[1]]

    @door.setter
    def door(self, door: Door) -> None:
        self._waiting[1] = door

    @property
    def busy(self) -> int:
        """How many workers are not idle."""
        return len(self._activities) - self._activities.tobytes().count(Activity.IDLE)

    def places(self) -> list[Place]:
        """All associations, those included that are being handed over."""
        places = (slot.place for slot in self.slots)
        return [place for place in places if place.activity not in (Activity.IDLE, Activity.AWAY)]
