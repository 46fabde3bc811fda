"""The table in the standard is compared with the one in use, cell by cell. Each cell that is not empty needs a test
without a network, and each that a peer can cause needs one against a live receiver (the corpus)."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from dcmrecv_core.proto.states import TRANSITIONS, Action, State, StateEvent
from support.corpus import cases
from support.promises.promises import promise
from support.protocol import state_table

pytestmark = promise(12)

STATES = (2, 3, 6, 8, 13)
# PS3.8 table 9-10, the columns that an acceptor can be in; "-" is an empty cell there
TABLE = """
 1 A-ASSOCIATE request        | -    | -    | -    | -    | -
 2 connection confirmed       | -    | -    | -    | -    | -
 3 A-ASSOCIATE-AC             | AA-1 | AA-8 | AA-8 | AA-8 | AA-6
 4 A-ASSOCIATE-RJ             | AA-1 | AA-8 | AA-8 | AA-8 | AA-6
 5 connection indicated       | -    | -    | -    | -    | -
 6 A-ASSOCIATE-RQ             | AE-6 | AA-8 | AA-8 | AA-8 | AA-7
 7 A-ASSOCIATE accept         | -    | AE-7 | -    | -    | -
 8 A-ASSOCIATE reject         | -    | AE-8 | -    | -    | -
 9 P-DATA request             | -    | -    | DT-1 | AR-7 | -
10 P-DATA-TF                  | AA-1 | AA-8 | DT-2 | AA-8 | AA-6
11 A-RELEASE request          | -    | -    | AR-1 | -    | -
12 A-RELEASE-RQ               | AA-1 | AA-8 | AR-2 | AA-8 | AA-6
13 A-RELEASE-RP               | AA-1 | AA-8 | AA-8 | AA-8 | AA-6
14 A-RELEASE response         | -    | -    | -    | AR-4 | -
15 A-ABORT request            | -    | AA-1 | AA-1 | AA-1 | -
16 A-ABORT                    | AA-2 | AA-3 | AA-3 | AA-3 | AA-2
17 connection closed          | AA-5 | AA-4 | AA-4 | AA-4 | AR-5
18 ARTIM expired              | AA-2 | -    | -    | -    | AA-2
19 unrecognized, invalid PDU  | AA-1 | AA-8 | AA-8 | AA-8 | AA-7
"""
FOLLOWING = {
    **{"AE-6": 3, "AE-7": 6, "AE-8": 13, "DT-1": 6, "DT-2": 6, "AR-2": 8, "AR-4": 13, "AR-5": 1, "AR-7": 8},
    **{"AA-1": 13, "AA-2": 1, "AA-3": 1, "AA-4": 1, "AA-5": 1, "AA-6": 13, "AA-7": 13, "AA-8": 13},
}
"""The state after an action, the same in all cells of an acceptor; AE-6 may also reject."""

NEVER_DONE = {(11, 6)}
"""We never request a release."""

OURS = {(15, 2)}
"""We may give up while the request is not complete."""

BY_PEER = (3, 4, 6, 10, 12, 13, 16, 17, 19)
LIVE = (2, 6, 13)
"""States that last: 3 and 8 lie between two statements of the receiver."""


def cells() -> dict[tuple[int, int], str]:
    """(event, state) to action."""
    found = {}
    for line in TABLE.strip("\n").splitlines():
        event, *actions = (part.strip() for part in line.split("|"))
        found |= {(int(event.split()[0]), state): action for state, action in zip(STATES, actions, strict=True)}
    return found


def used(event: int, state: int) -> tuple[Action, State] | None:
    return TRANSITIONS.get((State(state), StateEvent(event))) if event in set(StateEvent) else None


@pytest.mark.parametrize(("event", "state"), cells(), ids=lambda number: str(number))
def test_cell_is_the_standards(event: int, state: int) -> None:
    action, cell = cells()[event, state], used(event, state)
    if action == "-" or (event, state) in NEVER_DONE:
        assert cell is None or (event, state) in OURS
    else:
        assert cell is not None
        assert (cell[0].name, cell[1]) == (action.replace("-", ""), FOLLOWING[action])


def test_every_cell_is_tested(figure: Callable[[str], None]) -> None:
    wanted = {cell for cell, action in cells().items() if action != "-"} - NEVER_DONE
    single = {(number_of(event), state) for event, state, action in state_table.cells() if action not in ("-", "none")}
    assert wanted - single == {(14, 8)}, "AR-4 follows AR-2 in one step, and is tested with it"
    live = {(event, state) for event, state in wanted if event in BY_PEER and state in LIVE}
    seen = {
        (int(event), int(state))
        for case in cases()
        for state, events in re.findall(r"Sta(\d+)((?:,? Evt\d+)+)", case.reference)
        for event in re.findall(r"Evt(\d+)", events)
    }
    assert seen >= live, f"not in the corpus: {sorted(live - seen)}"
    figure(f"{len(cells())} cells, {len(wanted)} with an action, {len(live)} of them live")


def number_of(event: str) -> int:
    return int(event.split()[0].removeprefix("Evt"))
