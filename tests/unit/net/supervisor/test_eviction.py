"""Which associations have to make room, and for whom."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.net.admission import LONGEST_HANDSHAKE, Activity, AdmissionTable, Place, peer_key
from dcmrecv_core.net.supervisor.eviction import SILENT_HANDSHAKE, Evictions
from dcmrecv_core.net.supervisor.waiting import Census, Shares, WaitingRequests
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
