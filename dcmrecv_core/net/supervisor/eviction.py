"""Which associations have to give up their places when requests wait for one. No I/O and no clock.

Only a peer that has more places than the newcomer loses one. The worker has the last word: if bytes wait in its socket,
it goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from dcmrecv_core.net.admission import LONGEST_HANDSHAKE, Activity, Place
from dcmrecv_core.net.shares import Census, Shares
from dcmrecv_core.net.supervisor.pool import FRESH_SECONDS
from dcmrecv_core.net.supervisor.waiting import WaitingRequest

SILENT_HANDSHAKE = 0.7
"""A TLS peer that has sent nothing for so many seconds before its association request may have to go. A newcomer waits
0.9 s, and the worker needs some of that. See LONGEST_HANDSHAKE for one that sends."""

ANSWER_SECONDS = 0.7
"""A worker looks twice a second whether its association has to end. One that has not ended it after so long is asked
last from then on, so that it does not shield the others."""


@dataclass(frozen=True, slots=True)
class Eviction:
    """An association that has to end, and the request that gets its place."""

    place: Place
    newcomer: WaitingRequest


class Evictions:
    """Made for one moment: `places` as they are `now`, an idle association is one that waits for `idle_seconds` for its
    next message (None: none is); those in `last` are taken if there are no others (`AskedToEnd.unanswering`)."""

    def __init__(
        self,
        places: Sequence[Place],
        shares: Shares,
        now: float,
        idle_seconds: float | None,
        last: Mapping[Place, int] = MappingProxyType({}),
    ) -> None:
        self._last = last
        self._shares = shares
        self._counts = Census(places)
        self._taken = sum(place.activity is not Activity.ENDING for place in places)
        self._handshakes = sorted(
            (place for place in places if place.activity is Activity.HANDSHAKE and _takes_long(place, now)),
            key=lambda place: place.since,
        )
        idle_since = 0.0 if idle_seconds is None else now - idle_seconds
        self._idle = sorted(
            (place for place in places if place.activity is Activity.SERVING and 0 < place.waiting_since <= idle_since),
            key=lambda place: (last.get(place, 0), place.waiting_since),
        )

    def choose(self, short: Sequence[WaitingRequest], waiting: Iterable[WaitingRequest]) -> list[Eviction]:
        """As far as possible one for each of the requests that lack a place (`short`, the first one first), and one for
        each of all `waiting` ones that may not begin a TLS handshake because there are too many."""
        coming = max(self._shares.places - self._taken, 0)
        for request in short[:coming]:  # a place is becoming free for it
            self._counts.add(request.peer, request.handshake)
        chosen = [
            eviction for request in short[coming:] if (eviction := self._choose_for(request, handshakes_only=False))
        ]
        for request in waiting:
            counts = self._counts
            if (
                request.handshake
                and counts.all_handshakes >= self._shares.handshakes
                and self._shares.permit_apart_from_others(request.peer, True, counts)
                and (eviction := self._choose_for(request, handshakes_only=True))
            ):
                chosen.append(eviction)
        return chosen

    def _choose_for(self, newcomer: WaitingRequest, *, handshakes_only: bool) -> Eviction | None:
        """A long handshake of the peer that has most, the oldest; else the association that is idle for longest."""
        place = self._long_handshake(newcomer.peer, handshakes_only)
        if place is None and not handshakes_only:
            held = self._counts.held
            place = next((place for place in self._idle if held[place.peer] > held[newcomer.peer]), None)
        if place is None:
            return None
        (self._idle if place.activity is Activity.SERVING else self._handshakes).remove(place)
        self._counts.add(place.peer, place.activity is Activity.HANDSHAKE, -1)
        self._counts.add(newcomer.peer, newcomer.handshake)
        return Eviction(place, newcomer)

    def _long_handshake(self, newcomer: bytes, handshakes_only: bool) -> Place | None:
        held = self._counts.handshakes if handshakes_only else self._counts.held
        place = max(self._handshakes, key=lambda place: (-self._last.get(place, 0), held[place.peer]), default=None)
        return place if place is not None and held[place.peer] > held[newcomer] else None


class AskedToEnd:
    """The associations that are asked to end, in the admission table, and those that were asked in vain."""

    def __init__(self) -> None:
        self._since: dict[Place, float] = {}
        self._in_vain: set[Place] = set()

    def ask(self, evictions: Sequence[Eviction], now: float) -> None:
        """Ask these to end, and no others any more."""
        places = {eviction.place for eviction in evictions}
        for place in self._since.keys() - places:
            place.slot.evict(0, "")
            del self._since[place]
        for eviction in evictions:
            place = eviction.place
            place.slot.evict(place.number, eviction.newcomer.handover.address)
            eviction.newcomer.is_owed = True
            self._since.setdefault(place, now)

    def unanswering(self, places: Sequence[Place], now: float) -> dict[Place, int]:
        """Those of all `places` that will hardly end, and how hardly: 1 if their workers were asked in vain, which may
        only be slow; 2 if these have no heartbeat."""
        self._in_vain.intersection_update(places)  # what has changed since then may end
        self._in_vain.update(place for place, since in self._since.items() if now - since >= ANSWER_SECONDS)
        silent = {place: 2 for place in places if now - place.slot.last_beat >= FRESH_SECONDS}
        return dict.fromkeys(self._in_vain, 1) | silent


def _takes_long(handshake: Place, now: float) -> bool:
    """Whether the peer is silent, or sends and never comes to its end."""
    is_silent = handshake.waiting_since <= now - SILENT_HANDSHAKE
    return handshake.waiting_since > 0 and (is_silent or handshake.since <= now - LONGEST_HANDSHAKE)
