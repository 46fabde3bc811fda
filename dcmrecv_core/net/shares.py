"""Whether a peer may have one more place: the decision of the supervisor and of each worker. No I/O and no clock.

Shares bind only when places are short: below them everybody is served at once. An address may have all places but
RESERVED, so another one never waits for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from dcmrecv_core.net.admission import Activity, AdmissionTable, Place, Slot

RESERVED = 2
"""Places that one address leaves to others; fewer if there are fewer than five."""


def most_for_one(places: int) -> int:
    """How many of so many places one address may have. It keeps more than half: 1 of 1, 2 of 2 and 3, 3 of 4 and 5."""
    return places - min(RESERVED, (places - 1) // 2)


class Census:
    """How many places and TLS handshakes each peer has."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.held = Counter([place.peer for place in places])
        self.handshakes = Counter([place.peer for place in places if place.activity is Activity.HANDSHAKE])
        self.all_handshakes = self.handshakes.total()

    def add(self, peer: bytes, handshake: bool, number: int = 1) -> None:
        self.held[peer] += number
        if handshake:
            self.handshakes[peer] += number
            self.all_handshakes += number


class Shares:
    """The limits of `places` associations (--max-associations), of which one address may have `per_peer` (None: no
    limit but RESERVED). TLS handshakes have half of the places, or two. One address leaves some of these to others
    too, one at least: it has not many of them for long, but may have one for ever."""

    def __init__(self, places: int, per_peer: int | None) -> None:
        self.places = places
        self.handshakes = max(places // 2, min(places, 2))
        self.per_peer = per_peer
        self.most = most_for_one(places) if per_peer is None else min(most_for_one(places), per_peer)
        self.most_handshakes = min(most_for_one(self.handshakes), max(self.handshakes - 1, 1))

    def is_far(self, busy: int, handshake: bool) -> bool:
        """Whether no limit can be reached while so many workers are busy, for any peers."""
        return busy < self.most and not (handshake and busy >= self.most_handshakes)

    def admits(self, peer: bytes, handshake: bool, busy: int, places: Callable[[], Sequence[Place]]) -> bool:
        """Whether the peer may have one more place while so many workers are busy; `places` returns all associations,
        and is called only when they are many."""
        return self.is_far(busy, handshake) or self.permit(peer, handshake, Census(places()))

    def may_stay(self, slot: Slot, table: AdmissionTable) -> bool:
        """Whether the association that was just written to this slot of the table may have its place."""
        place = slot.place

        def others() -> list[Place]:
            return [other for other in table.places() if other.slot is not slot]

        return self.admits(place.peer, place.activity is Activity.HANDSHAKE, table.busy - 1, others)

    def permit(self, peer: bytes, handshake: bool, census: Census) -> bool:
        """Whether the peer may have one more place, if there is one."""
        if not self.permit_apart_from_others(peer, handshake, census):
            return False
        return not handshake or census.all_handshakes < self.handshakes

    def permit_apart_from_others(self, peer: bytes, handshake: bool, census: Census) -> bool:
        """The same, as far as its own places decide that."""
        return census.held[peer] < self.most and not (handshake and census.handshakes[peer] >= self.most_handshakes)
