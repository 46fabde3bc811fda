"""Requests that wait for a place: who gets one, who never gets the last ones, and how many may wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.net.admission import peer_key
from dcmrecv_core.net.shares import Census, Shares, most_for_one
from dcmrecv_core.net.supervisor import waiting as module
from dcmrecv_core.net.supervisor.waiting import WaitingRequests
from support.peers import A, B, C, request_of


def waiting_requests(*addresses: str, tls: bool = False) -> WaitingRequests:
    waiting = WaitingRequests()
    for address in addresses:
        waiting.add(request_of(address, tls=tls), 1.0)
    return waiting


def census(held: Sequence[str] = (), handshakes: Sequence[str] = ()) -> Census:
    counts = Census(())
    for address in held:
        counts.add(peer_key(address), False)
    for address in handshakes:
        counts.add(peer_key(address), True)
    return counts


def turns(waiting: WaitingRequests, counts: Census, shares: Shares) -> list[str]:
    return [request.handover.address for request in waiting.in_turn(counts, shares)]


def test_the_address_with_fewer_places_comes_first() -> None:
    waiting = waiting_requests(A, A, A, B, B, C)
    assert turns(waiting, census(held=[A, A, B]), Shares(64, None)) == [C, B, A, B, A, A]


def test_one_address_waits_by_arrival() -> None:
    waiting = waiting_requests(A, A, A)
    assert [request.number for request in waiting.in_turn(census(), Shares(64, None))] == [1, 2, 3]


def test_a_place_that_was_freed_goes_to_the_one_it_was_freed_for() -> None:
    """The peer that lost it has requests that have waited for longer."""
    waiting = waiting_requests(A, A, B, C)
    [*_, owed, _] = waiting
    owed.is_owed = True
    assert turns(waiting, census(), Shares(1, None)) == [B, A, C]
    assert turns(waiting, census(held=[B]), Shares(64, None)) == [A, C, B, A], "it has got one meanwhile"


def test_of_equal_ones_the_one_served_less_recently_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    waiting = waiting_requests(A, A, B, C)
    for address in (B, A):
        waiting.note_served(peer_key(address))
    assert turns(waiting, census(), Shares(64, None)) == [C, B, A, A]
    waiting.note_served(peer_key(C))
    assert turns(waiting, census(), Shares(64, None)) == [B, A, C, A], "only so many peers are remembered"


def test_one_address_leaves_two_places() -> None:
    assert turns(waiting_requests(*10 * [A]), census(held=4 * [A]), Shares(8, None)) == [A, A]


def test_the_hard_limit_holds_without_contention() -> None:
    assert turns(waiting_requests(*10 * [A]), census(held=[A]), Shares(8, 3)) == [A, A]
    assert turns(waiting_requests(*10 * [A]), census(held=[A]), Shares(8, 20)) == 5 * [A], "two places stay"


def test_handshakes_have_half_of_the_places() -> None:
    shares = Shares(16, None)
    assert turns(waiting_requests(*10 * [A], tls=True), census(), shares) == 6 * [A], "it leaves two of eight"
    assert turns(waiting_requests(A, B, B, C, tls=True), census(handshakes=6 * [A]), shares) == [B, C]
    assert turns(waiting_requests(A), census(handshakes=8 * [B]), shares) == [A], "without a handshake"


@pytest.mark.parametrize(
    ("places", "handshakes", "for_one"),
    [(1, 1, 1), (2, 2, 1), (3, 2, 1), (5, 2, 1), (6, 3, 2), (8, 4, 3), (64, 32, 30)],
)
def test_one_address_never_has_all_handshakes(places: int, handshakes: int, for_one: int) -> None:
    """Unless there is one place only."""
    shares = Shares(places, None)
    counts = census()
    assert turns(waiting_requests(*places * [A], tls=True), counts, shares) == for_one * [A]
    assert turns(waiting_requests(*map("10.1.0.{}".format, range(64)), tls=True), counts, shares) == [
        f"10.1.0.{number}" for number in range(handshakes - for_one)
    ]


@pytest.mark.parametrize(("busy", "handshake", "far"), [(5, False, True), (6, False, False), (3, True, False)])
def test_far_from_all_limits_nothing_is_counted(busy: int, handshake: bool, far: bool) -> None:
    """Eight places: six for one address, of four handshakes three."""
    assert Shares(8, None).is_far(busy, handshake) is far


def test_addresses_of_one_64_are_one_peer() -> None:
    waiting = waiting_requests("fd00::1", "fd00::2", "fd00:0:0:1::1")
    assert turns(waiting, census(held=["fd00::3"]), Shares(64, None)) == ["fd00:0:0:1::1", "fd00::1", "fd00::2"]


def test_deadlines() -> None:
    waiting = WaitingRequests()
    assert waiting.first_deadline() is None
    for address, deadline in ((A, 1.0), (B, 2.0), (C, 3.0)):
        waiting.add(request_of(address), deadline)
    assert waiting.first_deadline() == 1.0
    assert [request.handover.address for request in waiting.take_expired(2.0)] == [A, B]
    assert [request.handover.address for request in waiting] == [C]


def surplus(waiting: WaitingRequests) -> list[tuple[int, str]]:
    return [(request.number, request.handover.address) for request in waiting.take_surplus()]


def test_too_many_requests_cost_the_address_that_has_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    waiting = waiting_requests(A, A, B)
    assert surplus(waiting) == []
    waiting.add(request_of(B), 1.0)
    waiting.add(request_of(C), 1.0)
    assert surplus(waiting) == [(2, A), (4, B)]
    assert [request.handover.address for request in waiting] == [A, B, C]


def test_requests_of_one_address_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_PER_PEER", 1)
    assert surplus(waiting_requests(A, B, A)) == [(3, A)]


def test_too_many_bytes_cost_the_address_that_has_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 100)
    waiting = WaitingRequests()
    for address, size in ((A, 60), (A, 30), (B, 40)):
        waiting.add(request_of(address, bytes(size)), 1.0)
    assert surplus(waiting) == [(2, A)]
    assert len(waiting) == 2


class Pool:
    """Places that are taken and given back, as the supervisor does it: each step assigns what it can."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.shares = Shares(places, None)
        self.held: Counter[str] = Counter()
        self.waiting = WaitingRequests()

    def assign(self) -> None:
        before = census(list(self.held.elements()))
        others = {request.peer for request in self.waiting}
        for request in self.waiting.in_turn(before, self.shares):
            if self.held.total() == self.places:
                break
            address = request.handover.address
            left = others - {request.peer}
            assert self.held[address] < most_for_one(self.places), "it has all that one address may have"
            for other in left & {peer_key(name) for name in NAMES}:
                name = next(name for name in NAMES if peer_key(name) == other)
                assert self.held[name] >= self.held[address] or not self.waits(name), "one with fewer places waits"
            self.held[address] += 1
            self.waiting.remove(request)

    def waits(self, address: str) -> bool:
        return any(request.handover.address == address for request in self.waiting)


NAMES = [A, B, C]
STEPS = st.lists(st.tuples(st.sampled_from(["ask", "end"]), st.sampled_from(NAMES)), max_size=80)


@settings(deadline=None, max_examples=200)
@given(places=st.integers(1, 9), steps=STEPS)
def test_nobody_starves_and_nobody_gets_the_last_places(places: int, steps: list[tuple[str, str]]) -> None:
    """Whatever order requests come and associations end in: the address with fewer places goes first, nobody who may
    have a place waits while one is free, and every request is served in the end."""
    pool = Pool(places)
    for what, address in steps:
        if what == "ask":
            pool.waiting.add(request_of(address), 1.0)
        elif pool.held[address]:
            pool.held[address] -= 1
        pool.assign()
        if pool.held.total() < places:
            assert all(pool.held[name] == most_for_one(places) for name in NAMES if pool.waits(name))
    for _ in range(len(steps)):
        if not pool.waiting:
            break
        before = len(pool.waiting)
        pool.held[pool.held.most_common(1)[0][0]] -= 1
        pool.assign()
        assert len(pool.waiting) == before - 1, "the place that became free was given to one that waits"
    assert not pool.waiting
