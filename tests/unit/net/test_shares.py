"""Who may have one more place."""

from __future__ import annotations

import pytest

from dcmrecv_core.net.admission import AdmissionTable, Place, peer_key
from dcmrecv_core.net.shares import Shares, most_for_one
from support.peers import A, B


@pytest.mark.parametrize(
    ("places", "most"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (32, 30), (64, 62), (1024, 1022)]
)
def test_places_that_one_address_leaves_to_others(places: int, most: int) -> None:
    assert most_for_one(places) == most


@pytest.mark.parametrize(
    ("held", "handshakes", "admits"), [([], False, True), ([A, A, B], False, True), ([A, A, A], False, False)]
)
def test_a_peer_with_less_than_its_share_is_admitted(held: list[str], handshakes: bool, admits: bool) -> None:
    table = AdmissionTable(5)
    for address in held:
        table.take(0.0)[1].begin(address, 0.0, handshake=handshakes)
    assert Shares(5, None).admits(peer_key(A), handshakes, table.busy, table.places) is admits
    assert Shares(5, None).admits(peer_key(B), handshakes, table.busy, table.places)
    assert Shares(5, 1).admits(peer_key(A), handshakes, table.busy, table.places) is not (A in held)


def test_far_from_all_limits_no_place_is_looked_at() -> None:
    def places() -> list[Place]:
        raise AssertionError

    assert Shares(5, None).admits(peer_key(A), False, 2, places)
    assert not Shares(5, None).is_far(3, False)
    assert not Shares(5, None).is_far(1, True)
