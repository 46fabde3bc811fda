"""The association acceptor's part of the state table (PS3.8 section 9.2, tables 9-6 to 9-10).

States and events have the standard's numbers. As an acceptor we never send A-ASSOCIATE-RQ or A-RELEASE-RQ, so the
states 4, 5, 7 and 9 to 12 cannot be reached (no release collision) and event 11 does not occur; an idle association is
ended by A-ABORT.
"""

from __future__ import annotations

from enum import Enum, IntEnum, unique


class State(IntEnum):
    """Table 9-1 to 9-5."""

    STA1 = 1
    """Idle: no connection (any more)."""
    STA2 = 2
    """Connection open, waiting for A-ASSOCIATE-RQ."""
    STA3 = 3
    """Request received, waiting for the caller's decision."""
    STA6 = 6
    """Association established."""
    STA8 = 8
    """A-RELEASE-RQ received, not answered yet."""
    STA13 = 13
    """Waiting for the connection to close."""


@unique
class StateEvent(IntEnum):
    """Table 9-9, the events of an acceptor."""

    ASSOCIATE_AC = 3
    ASSOCIATE_RJ = 4
    ASSOCIATE_RQ = 6
    ACCEPT = 7
    REJECT = 8
    SEND_DATA = 9
    P_DATA_TF = 10
    RELEASE_RQ = 12
    RELEASE_RP = 13
    RELEASE_RESPONSE = 14
    ABORT_REQUEST = 15
    ABORT = 16
    CLOSED = 17
    ARTIM_EXPIRED = 18
    UNRECOGNIZED = 19


@unique
class Action(Enum):
    """Tables 9-6 to 9-8."""

    AE6 = "stop ARTIM; issue A-ASSOCIATE indication, or reject"
    AE7 = "send A-ASSOCIATE-AC"
    AE8 = "send A-ASSOCIATE-RJ, start ARTIM"
    DT1 = "send P-DATA-TF"
    DT2 = "issue P-DATA indication"
    AR2 = "issue A-RELEASE indication"
    AR4 = "send A-RELEASE-RP, start ARTIM"
    AR5 = "stop ARTIM; the association has ended"
    AR7 = "send P-DATA-TF while a release is under way"
    AA1 = "send A-ABORT (service user), start ARTIM"
    AA2 = "stop ARTIM, close"
    AA3 = "issue A-ABORT indication, close"
    AA4 = "issue A-P-ABORT indication"
    AA5 = "stop ARTIM; there was no association"
    AA6 = "ignore"
    AA7 = "send A-ABORT"
    AA8 = "send A-ABORT (service provider), issue A-P-ABORT indication, start ARTIM"


def _row(
    event: StateEvent, *cells: tuple[State, Action, State]
) -> dict[tuple[State, StateEvent], tuple[Action, State]]:
    return {(state, event): (action, following) for state, action, following in cells}


_1, _2, _3, _6, _8, _13 = State.STA1, State.STA2, State.STA3, State.STA6, State.STA8, State.STA13
_E, _A = StateEvent, Action

TRANSITIONS: dict[tuple[State, StateEvent], tuple[Action, State]] = {
    **_row(_E.ASSOCIATE_AC, (_2, _A.AA1, _13), (_3, _A.AA8, _13), (_6, _A.AA8, _13), (_8, _A.AA8, _13),
           (_13, _A.AA6, _13)),
    **_row(_E.ASSOCIATE_RJ, (_2, _A.AA1, _13), (_3, _A.AA8, _13), (_6, _A.AA8, _13), (_8, _A.AA8, _13),
           (_13, _A.AA6, _13)),
    **_row(_E.ASSOCIATE_RQ, (_2, _A.AE6, _3), (_3, _A.AA8, _13), (_6, _A.AA8, _13), (_8, _A.AA8, _13),
           (_13, _A.AA7, _13)),
    **_row(_E.ACCEPT, (_3, _A.AE7, _6)),
    **_row(_E.REJECT, (_3, _A.AE8, _13)),
    **_row(_E.SEND_DATA, (_6, _A.DT1, _6), (_8, _A.AR7, _8)),
    **_row(_E.P_DATA_TF, (_2, _A.AA1, _13), (_3, _A.AA8, _13), (_6, _A.DT2, _6), (_8, _A.AA8, _13),
           (_13, _A.AA6, _13)),
    **_row(_E.RELEASE_RQ, (_2, _A.AA1, _13), (_3, _A.AA8, _13), (_6, _A.AR2, _8), (_8, _A.AA8, _13),
           (_13, _A.AA6, _13)),
    **_row(_E.RELEASE_RP, (_2, _A.AA1, _13), (_3, _A.AA8, _13), (_6, _A.AA8, _13), (_8, _A.AA8, _13),
           (_13, _A.AA6, _13)),
    **_row(_E.RELEASE_RESPONSE, (_8, _A.AR4, _13)),
    **_row(_E.ABORT_REQUEST, (_2, _A.AA1, _13), (_3, _A.AA1, _13), (_6, _A.AA1, _13), (_8, _A.AA1, _13)),
    **_row(_E.ABORT, (_2, _A.AA2, _1), (_3, _A.AA3, _1), (_6, _A.AA3, _1), (_8, _A.AA3, _1), (_13, _A.AA2, _1)),
    **_row(_E.CLOSED, (_2, _A.AA5, _1), (_3, _A.AA4, _1), (_6, _A.AA4, _1), (_8, _A.AA4, _1), (_13, _A.AR5, _1)),
    **_row(_E.ARTIM_EXPIRED, (_2, _A.AA2, _1), (_13, _A.AA2, _1)),
    **_row(_E.UNRECOGNIZED, (_2, _A.AA1, _13), (_3, _A.AA8, _13), (_6, _A.AA8, _13), (_8, _A.AA8, _13),
           (_13, _A.AA7, _13)),
}  # fmt: skip
"""(state, event) -> (action, next state). A peer cannot cause a missing cell; our side gets a LocalProtocolError.
(2, ABORT_REQUEST) is not in the standard: it gives up before the request is complete."""
