"""Requests that wait for a place, and the order in which they get one. No I/O and no clock.

A place that becomes free goes to the waiting address that has the fewest.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from dcmrecv_core.net.admission import peer_key
from dcmrecv_core.net.handover import Handover
from dcmrecv_core.net.shares import Census, Shares

MAX_WAITING = 256
"""Complete requests that may wait, because each costs a descriptor and memory. If there are more, the last one of the
address with most of them is refused."""

MAX_WAITING_PER_PEER = 128
"""The same for one address."""

MAX_WAITING_BYTES = 16 << 20
"""Bytes of all waiting requests; most have less than a kilobyte."""


@dataclass(slots=True, eq=False)
class WaitingRequest:
    """`number` counts requests by arrival; it is refused at `deadline` (monotonic seconds). `is_owed`: an association
    was asked to end for it."""

    handover: Handover
    deadline: float
    number: int
    peer: bytes
    is_owed: bool = False

    @property
    def handshake(self) -> bool:
        """Whether a TLS handshake comes first."""
        return self.handover.tls_deadline is not None


class WaitingRequests:
    """The requests that wait, by arrival."""

    def __init__(self) -> None:
        self._requests: dict[int, WaitingRequest] = {}
        self._last_number = 0
        self._count: Counter[bytes] = Counter()
        self._bytes: Counter[bytes] = Counter()
        self.all_bytes = 0
        self._served: dict[bytes, int] = {}
        self._last_served = 0

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[WaitingRequest]:
        return iter(self._requests.values())

    def add(self, handover: Handover, deadline: float) -> None:
        """Let a request wait; its deadline is not before those of the others."""
        self._last_number += 1
        request = WaitingRequest(handover, deadline, self._last_number, peer_key(handover.address))
        self._requests[request.number] = request
        self._count_one(request, 1)

    def note_served(self, peer: bytes) -> None:
        """A request of this peer has got a place, whether it waited or not."""
        self._last_served += 1
        self._served.pop(peer, None)
        self._served[peer] = self._last_served
        if len(self._served) > MAX_WAITING:
            del self._served[next(iter(self._served))]

    def remove(self, request: WaitingRequest) -> None:
        del self._requests[request.number]
        self._count_one(request, -1)

    def _count_one(self, request: WaitingRequest, sign: int) -> None:
        size = sign * len(request.handover.request)
        self.all_bytes += size
        self._bytes[request.peer] += size
        self._count[request.peer] += sign
        if not self._count[request.peer]:
            del self._count[request.peer], self._bytes[request.peer]

    def in_turn(self, census: Census, shares: Shares) -> Iterator[WaitingRequest]:
        """Requests that may have a place, in the order in which they get one: of the peer with the fewest places first,
        and of one peer by arrival. Of peers with equally many the one that is owed a place comes first, then the one
        that was served less recently: else a peer that always has a request waiting gets back the place that it has
        just lost. Each counts in `census` from then on; the caller may remove it."""
        of_peer: dict[bytes, deque[WaitingRequest]] = {}
        for request in self:
            of_peer.setdefault(request.peer, deque()).append(request)
        served = self._served

        def entry(peer: bytes) -> tuple[int, bool, int, int, bytes]:
            first = of_peer[peer][0]
            return census.held[peer], not first.is_owed, served.get(peer, 0), first.number, peer

        heap = [entry(peer) for peer in of_peer]
        heapify(heap)
        while heap:
            peer = heappop(heap)[-1]
            requests = of_peer[peer]
            request = requests.popleft()
            if not shares.permit(peer, request.handshake, census):
                continue
            census.add(peer, request.handshake)
            yield request
            if requests:
                heappush(heap, entry(peer))

    def count_of(self, peer: bytes) -> int:
        """How many requests of this peer wait."""
        return self._count[peer]

    def first_deadline(self) -> float | None:
        return next((request.deadline for request in self), None)

    def take_expired(self, now: float) -> list[WaitingRequest]:
        """Remove and return those whose deadline has passed."""
        expired = []
        while self._requests and (request := next(iter(self))).deadline <= now:
            self.remove(request)
            expired.append(request)
        return expired

    def take_surplus(self) -> list[WaitingRequest]:
        """Remove and return those that are too many or too large."""
        surplus = []
        while (counted := self._exceeded()) is not None:
            peer = max(counted, key=lambda peer: counted[peer])
            request = next(request for request in reversed(self._requests.values()) if request.peer == peer)
            self.remove(request)
            surplus.append(request)
        return surplus

    def _exceeded(self) -> Counter[bytes] | None:
        """By what the peer is found that waits with too much; None if nothing is too much."""
        if self.all_bytes > MAX_WAITING_BYTES:
            return self._bytes
        if len(self) > MAX_WAITING or (
            len(self) > MAX_WAITING_PER_PEER and max(self._count.values()) > MAX_WAITING_PER_PEER
        ):
            return self._count
        return None
