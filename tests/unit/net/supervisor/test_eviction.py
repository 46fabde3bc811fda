"""Which associations have to make room, and for whom."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.net.admission import LONGEST_HANDSHAKE, Activity, AdmissionTable, Place, peer_key
from dcmrecv_core.net.shares import Census, Shares
from dcmrecv_core.net.supervisor.eviction import ANSWER_SECONDS, SILENT_HANDSHAKE, AskedToEnd, Evictions
from dcmrecv_core.net.supervisor.pool import FRESH_SECONDS
from dcmrecv_core.net.supervisor.waiting import WaitingRequests
from support.peers import A, B, C, D, request_of

NOW = 1000.0
IDLE_SECONDS = 60.0
SLOT = AdmissionTable(1).take(0.0)[1]
SERVING, HANDSHAKE, ENDING = Activity.SERVING, Activity.HANDSHAKE, Activity.ENDING


def place(address: str, waits: float = 0.0, activity: Activity = SERVING, age: float = 500.0, number: int = 1) -> Place:
    """An association that waits for `waits` seconds for its next message; 0: it is inside one."""
    return Place(SLOT, activity, number, NOW - age, NOW - waits if waits else 0.0, peer_key(address))


def chosen(
    places: list[Place], *newcomers: str, limit: int = 0, tls: bool = False, idle: float | None = IDLE_SECONDS
) -> list[tuple[Place, str]]:
    """The places that are asked for, and the addresses that get them; there are as many places as are taken."""
    shares = Shares(limit or len(places), None)
    waiting = WaitingRequests()
    for address in newcomers:
        waiting.add(request_of(address, tls=tls), NOW)
    short = list(waiting.in_turn(Census(places), shares))
    found = Evictions(places, shares, NOW, idle).choose(short, waiting)
    return [(eviction.place, eviction.newcomer.handover.address) for eviction in found]


def test_the_one_that_waits_longest_makes_room() -> None:
    first, second, third = place(A, 70), place(B, 80), place(A, 90)
    assert chosen([first, second, third, place(B)], C) == [(third, C)]
    assert chosen([first, second, third, place(B)], C, D) == [(third, C), (second, D)]


@pytest.mark.parametrize(
    "places",
    [
        [place(A, 59.9)] * 4,
        [place(A)] * 4,
        [place(A, 0.5, HANDSHAKE, age=1)] * 4,
        [place(C, 90), place(A), place(B), place(C)],
    ],
    ids=["not idle for long enough", "inside messages", "not silent for long enough", "the newcomer's own"],
)
def test_nobody_has_to_make_room(places: list[Place]) -> None:
    assert chosen(places, C) == []


def test_only_a_peer_with_more_places_loses_one() -> None:
    places = [place(A, 90), place(A), place(B, 80), place(B), place(C)]
    assert chosen(places, C) == [(places[0], C)]
    assert chosen([*places, place(C)], C) == []


def test_many_newcomers_of_one_address_get_no_more_than_the_others_keep() -> None:
    places = [place(A, 90, number=number) for number in range(8)]
    assert [newcomer for _, newcomer in chosen(places, *8 * [B])] == 4 * [B]


def test_without_eviction_nobody_has_to_make_room() -> None:
    assert chosen([place(A, 5000)] * 4, B, idle=None) == []


def test_a_place_that_becomes_free_is_waited_for() -> None:
    places = [place(A, 90), place(A, 80), place(A, activity=ENDING)]
    assert chosen(places, B) == []
    assert chosen(places, B, C) == [(places[0], C)]
    assert chosen(places[:2], B, limit=3) == [], "a worker is starting"


def test_silent_handshakes_go_first_the_oldest_of_the_address_with_most() -> None:
    young = place(A, 2, HANDSHAKE, age=2)
    old = place(A, 1, HANDSHAKE, age=9)
    oldest = place(B, 1, HANDSHAKE, age=20)
    places = [place(A, 90), young, old, oldest]
    assert chosen(places, C) == [(old, C)]


def test_a_handshake_that_dribbles_has_to_end() -> None:
    """It has sent something just now. One that was not waited for yet stays."""
    places = [place(A, 0.01, HANDSHAKE, age=LONGEST_HANDSHAKE - 0.1), place(A, 0, HANDSHAKE)]
    assert chosen(places, C) == []
    places.append(place(A, 0.01, HANDSHAKE, age=LONGEST_HANDSHAKE))
    assert chosen(places, C) == [(places[2], C)]


def test_a_handshake_makes_room_for_a_handshake() -> None:
    """Of eight places four are for handshakes; all of them are taken, and four places are free."""
    places = [place(A, 1, HANDSHAKE, age=number) for number in (1, 3)]
    places += [place(B, 1, HANDSHAKE, age=number) for number in (2, 4)]
    assert chosen(places, C, limit=8, tls=True) == [(places[3], C)]
    assert chosen(places, A, limit=8, tls=True) == []
    assert chosen(places, C, limit=8) == [], "without a handshake there is room"
    places = [place(A, 90)] + 3 * [place(B, SILENT_HANDSHAKE / 2, HANDSHAKE, 1)] + [place(A, 0.1, HANDSHAKE, 1)]
    assert chosen(places, C, limit=8, tls=True) == [], "an idle association does not help"


# Those that do not end


class Table:
    """Associations of one address, each with a slot, in a receiver that is full; a newcomer waits."""

    def __init__(self, *places: Place) -> None:
        self.now = NOW
        slots = [AdmissionTable(1).take(NOW)[1] for _ in places]
        for slot in slots:
            slot.begin(A, NOW, handshake=False)
        self.places = [each._replace(slot=slot) for each, slot in zip(places, slots, strict=True)]
        self.shares = Shares(len(places), None)
        self.waiting = WaitingRequests()
        self.waiting.add(request_of(C), NOW)
        self.asked = AskedToEnd()

    def turn(self, seconds: float = 0.0, *, waits: bool = True) -> list[int]:
        """Let `seconds` pass; returns the numbers of the places that are asked to end then."""
        self.now += seconds
        requests = list(self.waiting) if waits else []
        last = self.asked.unanswering(self.places, self.now)
        found = Evictions(self.places, self.shares, self.now, IDLE_SECONDS, last).choose(requests, requests)
        self.asked.ask(found, self.now)
        return [number for number, place in enumerate(self.places) if place.slot.newcomer == C]


@pytest.mark.parametrize("activity", [SERVING, HANDSHAKE])
def test_one_without_a_heartbeat_shields_no_other(activity: Activity) -> None:
    table = Table(place(A, 90, activity, age=600), place(A, 70, activity))
    table.places[1].slot.beat(NOW + FRESH_SECONDS)
    assert table.turn(FRESH_SECONDS) == [1]
    table.places[0].slot.beat(NOW + FRESH_SECONDS)
    assert table.turn() == [0]


def test_one_that_was_slow_is_asked_before_one_without_a_heartbeat() -> None:
    table = Table(place(A, 70), place(A, 90))
    table.places[1].slot.beat(table.now - FRESH_SECONDS)
    for seconds in (0, ANSWER_SECONDS, ANSWER_SECONDS):
        table.places[0].slot.beat(table.now + seconds)
        assert table.turn(seconds) == [0]


def test_one_that_does_not_end_shields_no_other() -> None:
    table = Table(place(A, 90), place(A, 80), place(A, 70))
    assert table.turn() == [0]
    assert table.turn(ANSWER_SECONDS / 2) == [0], "it still has time"
    assert table.turn(waits=False) == []
    assert table.turn() == [0], "it had no time to answer"
    for expected in (1, 2, 0):
        for each in table.places:
            each.slot.beat(table.now + ANSWER_SECONDS)
        assert table.turn(ANSWER_SECONDS) == [expected]
    table.places[1] = table.places[1]._replace(waiting_since=table.places[1].waiting_since + 1)
    assert table.turn() == [1], "it has answered its peer since then"


def test_the_request_is_owed_the_place() -> None:
    table = Table(place(A, 50), place(A, 40))
    table.turn()
    assert not any(request.is_owed for request in table.waiting)
    table.places[0].slot.beat(NOW + 20)
    table.turn(20)
    assert all(request.is_owed for request in table.waiting)


PLACES = st.lists(
    st.builds(
        place,
        st.sampled_from([A, B, C]),
        st.sampled_from([0.0, 1.0, 59.0, 61.0, 90.0]),
        st.sampled_from([SERVING, HANDSHAKE, ENDING]),
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=300)
@given(PLACES, st.lists(st.sampled_from([A, B, C, D]), max_size=12))
def test_whoever_makes_room_has_more_places_and_waits(places: list[Place], newcomers: list[str]) -> None:
    places = [each._replace(number=number) for number, each in enumerate(places)]
    found = chosen(places, *newcomers)
    assert len({each.number for each, _ in found}) == len(found), "nobody is asked twice"
    held = Census(places).held
    coming = sum(each.activity is ENDING for each in places)
    waiting = WaitingRequests()
    for address in newcomers:
        waiting.add(request_of(address), NOW)
    short = list(waiting.in_turn(Census(places), Shares(len(places), None)))
    held.update(request.peer for request in short[:coming])
    for each, newcomer in found:
        assert each.activity is HANDSHAKE or (each.activity is SERVING and NOW - each.waiting_since >= IDLE_SECONDS)
        assert each.waiting_since, "nobody inside a message"
        assert held[each.peer] > held[peer_key(newcomer)]
        held[each.peer] -= 1
        held[peer_key(newcomer)] += 1
