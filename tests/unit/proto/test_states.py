"""Every cell of PS3.8 table 9-10 that an acceptor can reach: bytes sent, event, next state, ARTIM."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dcmrecv_core.api.errors import LocalProtocolError
from dcmrecv_core.proto.acceptor import Acceptor
from dcmrecv_core.proto.associate import ContextResult
from dcmrecv_core.proto.dimse import Command
from dcmrecv_core.proto.negotiation import Answer
from dcmrecv_core.proto.pdu import Rejection
from dcmrecv_core.proto.states import State
from support.protocol import pdus
from support.protocol.acceptor_runs import make, taken
from support.protocol.state_table import cells
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, VERIFICATION

ANSWER = Answer(
    (ContextResult(1, 0, IMPLICIT_LE), ContextResult(3, 0, EXPLICIT_LE), ContextResult(5, 3, "1.2")),
    {1: (VERIFICATION, IMPLICIT_LE), 3: (CT, EXPLICIT_LE)},
)
ECHO = Command(0x0030, 7, False)


def put(acceptor: Acceptor, data: bytes) -> None:
    acceptor.get_buffer()[: len(data)] = data
    acceptor.buffer_updated(len(data))


def in_state(number: int) -> Acceptor:
    acceptor = make()
    if number > 2:
        put(acceptor, pdus.request())
        acceptor.next_event()
    if number > 3:
        acceptor.accept(ANSWER)
    if number == 8:
        # The acceptor answers a release at once, so no PDU arrives in this state; the cells hold nevertheless
        acceptor.state = State.STA8
    if number == 13:
        put(acceptor, pdus.release_rq())
        acceptor.next_event()
    taken(acceptor)
    assert acceptor.state == number
    return acceptor


PDUS: dict[str, bytes] = {
    "Evt3 A-ASSOCIATE-AC": pdus.pdu(pdus.ASSOCIATE_AC, bytes(68)),
    "Evt4 A-ASSOCIATE-RJ": pdus.hexa("03 00 00000004 00 01 01 01"),
    "Evt6 A-ASSOCIATE-RQ": pdus.request(),
    "Evt10 P-DATA-TF": pdus.echo(),
    "Evt12 A-RELEASE-RQ": pdus.release_rq(),
    "Evt13 A-RELEASE-RP": pdus.hexa("06 00 00000004 00000000"),
    "Evt16 A-ABORT": pdus.abort(0, 0),
    "Evt19 unrecognized PDU": pdus.hexa("08 00 00000000"),
    "Evt19 invalid PDU": pdus.hexa("07 00 00000002 0000"),
}
CALLS: dict[str, Callable[[Acceptor], None]] = {
    "Evt7 accept": lambda acceptor: acceptor.accept(ANSWER),
    "Evt8 reject": lambda acceptor: acceptor.reject(Rejection(1, 1, 7)),
    "Evt9 P-DATA request": lambda acceptor: acceptor.respond(1, ECHO, 0),
    "Evt15 A-ABORT request": lambda acceptor: acceptor.abort(),
    "Evt17 connection closed": lambda acceptor: acceptor.receive_eof(),
    "Evt18 ARTIM expired": lambda acceptor: acceptor.artim_expired(),
}

#          next state (None: stays), ARTIM (None: stays), first bytes sent, event
EFFECTS: dict[str, tuple[int | None, bool | None, str, str | None]] = {
    "AE-6": (3, False, "", "AssociateRequested"),
    "AE-7": (6, None, "02", None),
    "AE-8": (13, True, "03 00 00000004 00 01 01 07", None),
    "DT-1": (None, None, "04", None),
    "DT-2": (None, None, "", "EchoRequested"),
    "AR-4": (13, True, "06 00 00000004 00000000", "Released"),
    "AR-5": (1, False, "", None),
    "AR-7": (None, None, "04", None),
    "AA-1": (13, True, "07 00 00000004 0000 00 00", "Failed"),
    # our abort has the service provider as its source, which distinguishes it from a user's
    "AA-1u": (13, True, "07 00 00000004 0000 02 00", None),
    "AA-2": (1, False, "", None),
    "AA-3": (1, None, "", "Aborted"),
    "AA-4": (1, None, "", "Closed"),
    "AA-5": (1, False, "", None),
    "AA-6": (None, None, "", None),
    "AA-7": (None, None, "07 00 00000004 0000 02", None),
    "AA-8": (13, True, "07 00 00000004 0000 02", "Failed"),
    "none": (None, None, "", None),
}


@pytest.mark.parametrize(("event", "number", "cell"), cells())
@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])
def test_cell(event: str, number: int, cell: str, bytewise: bool) -> None:
    acceptor = in_state(number)
    artim_before = acceptor.artim
    told: list[str] = []

    def take() -> None:
        while (told_event := acceptor.next_event()) is not None:
            told.append(type(told_event).__name__)

    if cell == "-":
        with pytest.raises(LocalProtocolError):
            CALLS[event](acceptor)
        return
    if event in CALLS:
        CALLS[event](acceptor)
    else:
        data = PDUS[event]
        for part in [data[i : i + 1] for i in range(len(data))] if bytewise else [data]:
            put(acceptor, part)
            take()
    take()
    action, _, reason = cell.partition("/")
    state, artim, sent, told_name = EFFECTS[action]
    assert acceptor.state == (state or number)
    assert acceptor.artim is (artim_before if artim is None else artim)
    expected = pdus.hexa(sent) + (bytes([int(reason)]) if reason else b"")
    output = taken(acceptor)
    assert output[: len(expected)] == expected
    assert not output if not expected else expected[0] in (2, 4) or len(output) == len(expected)
    assert told == ([told_name] if told_name else [])


def test_table_is_complete() -> None:
    assert len(cells()) == 15 * 5
    assert {event for event, _, _ in cells()} == set(PDUS) | set(CALLS)


def test_artim_runs_while_waiting_for_a_request_or_the_end_only() -> None:
    assert {number: in_state(number).artim for number in (2, 3, 6, 13)} == {2: True, 3: False, 6: False, 13: True}


@pytest.mark.parametrize("data", [b"", bytes(5), b"\4" + bytes(5), pdus.echo(), bytes(1000)])
def test_nothing_is_sent_or_done_after_the_end(data: bytes) -> None:
    acceptor = in_state(6)
    put(acceptor, pdus.abort(0, 0))
    acceptor.next_event()
    put(acceptor, data)
    acceptor.receive_eof()
    acceptor.artim_expired()
    acceptor.abort()
    assert acceptor.next_event() is None
    assert taken(acceptor) == b""
    assert acceptor.state is State.STA1
