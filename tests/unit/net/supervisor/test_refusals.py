"""What the log says of a request that gets no place."""

from __future__ import annotations

import pytest

from dcmrecv_core.net.admission import peer_key
from dcmrecv_core.net.shares import Census, Shares
from dcmrecv_core.net.supervisor import waiting as module
from dcmrecv_core.net.supervisor.refusals import cause_of_surplus, cause_of_waiting
from dcmrecv_core.net.supervisor.waiting import WaitingRequests
from support.peers import A, B, request_of


@pytest.mark.parametrize(
    ("places", "per_peer", "held", "handshakes", "text"),
    [
        (8, 3, 3 * A, "", "--max-per-peer; this address has 3 of 3 associations"),
        (8, None, 6 * A, "", "--max-associations; this address has 6 associations, and one address may have 6 of 8"),
        (8, 20, 6 * A, "", "--max-associations; this address has 6 associations, and one address may have 6 of 8"),
        (8, None, 2 * A + 6 * B, "", "--max-associations; 8 of 8 associations open, 2 of this address"),
        (2, None, 2 * A, "", "--max-associations; 2 of 2 associations open, 2 of this address"),
        (8, None, 2 * A, 3 * A, "--max-associations; this address is in 3 TLS handshakes, and may be in 3 of 4"),
        (8, 6, "", 3 * B + A, "--max-associations; 4 of 4 TLS handshakes under way, 1 of this address"),
        (1, None, "", B, "--max-associations; 1 of 1 TLS handshakes under way, 0 of this address"),
        (8, None, 5 * B + A, B, "--max-associations; 7 of 8 associations open, 1 of this address"),
    ],
)
def test_the_limit_is_named_with_counts(
    places: int, per_peer: int | None, held: str, handshakes: str, text: str
) -> None:
    census = Census(())
    for address in (A, B):
        census.add(peer_key(address), False, held.count(address))
        census.add(peer_key(address), True, handshakes.count(address))
    waiting = WaitingRequests()
    waiting.add(request_of(A, tls=bool(handshakes)), 1.0)
    [request] = waiting
    cause = cause_of_waiting(request, Shares(places, per_peer), census)
    assert f"{cause.option}; {cause.text}" == text
    assert cause.associations is ("handshake" not in text)


def test_too_many_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    waiting = WaitingRequests()
    for address in (A, A, B, B):
        waiting.add(request_of(address, bytes(100)), 1.0)
    [request] = waiting.take_surplus()
    cause = cause_of_surplus(request, waiting)
    assert cause.text == "3 requests with 300 bytes wait for a place already, 1 of this address"
    assert not cause.associations
