"""Why a request gets no place, with counts, for the log. No I/O and no clock."""

from __future__ import annotations

from typing import NamedTuple

from dcmrecv_core.net.shares import Census, Shares
from dcmrecv_core.net.supervisor.waiting import WaitingRequest, WaitingRequests


class Cause(NamedTuple):
    """`option` sets the limit that is reached; `associations`: it is that of associations, which end some time."""

    option: str
    text: str
    associations: bool = False


def cause_of_waiting(request: WaitingRequest, shares: Shares, census: Census) -> Cause:
    """Why it has waited in vain, as far as `census` shows that in the end."""
    held, handshakes = census.held[request.peer], census.handshakes[request.peer]
    if shares.per_peer is not None and held >= shares.per_peer:
        return Cause("--max-per-peer", f"this address has {held} of {shares.per_peer} associations", True)
    if held >= shares.most < shares.places:
        text = f"this address has {held} associations, and one address may have {shares.most} of {shares.places}"
    elif request.handshake and handshakes >= shares.most_handshakes < shares.handshakes:
        share = f"{shares.most_handshakes} of {shares.handshakes}"
        return Cause("--max-associations", f"this address is in {handshakes} TLS handshakes, and may be in {share}")
    elif request.handshake and census.all_handshakes >= shares.handshakes:
        text = f"{census.all_handshakes} of {shares.handshakes} TLS handshakes under way, {handshakes} of this address"
        return Cause("--max-associations", text)
    else:
        text = f"{census.held.total()} of {shares.places} associations open, {held} of this address"
    return Cause("--max-associations", text, True)


def cause_of_surplus(request: WaitingRequest, waiting: WaitingRequests) -> Cause:
    """Why it may not even wait."""
    own, size = waiting.count_of(request.peer), waiting.all_bytes
    text = f"{len(waiting)} requests with {size} bytes wait for a place already, {own} of this address"
    return Cause("--max-associations", text)
