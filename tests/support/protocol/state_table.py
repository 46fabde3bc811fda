"""The cells of PS3.8 table 9-10 that an acceptor can meet."""

from __future__ import annotations

# As in the standard, except that AR-2 and AR-4 (Evt14, our own answer) are one step here. "-" cannot happen, or
# is a mistake of ours. The reason of AA-8 is the peer's fault: 1 unrecognized PDU, 2 unexpected PDU, 6 invalid value.
TABLE = """
                          Sta2     Sta3      Sta6     Sta8      Sta13
Evt3 A-ASSOCIATE-AC     | AA-1   | AA-8/2  | AA-8/2 | AA-8/2  | AA-6
Evt4 A-ASSOCIATE-RJ     | AA-1   | AA-8/2  | AA-8/2 | AA-8/2  | AA-6
Evt6 A-ASSOCIATE-RQ     | AE-6   | AA-8/2  | AA-8/2 | AA-8/2  | AA-7/2
Evt7 accept             | -      | AE-7    | -      | -       | -
Evt8 reject             | -      | AE-8    | -      | -       | -
Evt9 P-DATA request     | -      | -       | DT-1   | AR-7    | -
Evt10 P-DATA-TF         | AA-1   | AA-8/2  | DT-2   | AA-8/2  | AA-6
Evt12 A-RELEASE-RQ      | AA-1   | AA-8/2  | AR-4   | AA-8/2  | AA-6
Evt13 A-RELEASE-RP      | AA-1   | AA-8/2  | AA-8/2 | AA-8/2  | AA-6
Evt15 A-ABORT request   | AA-1u  | AA-1u   | AA-1u  | AA-1u   | none
Evt16 A-ABORT           | AA-2   | AA-3    | AA-3   | AA-3    | AA-2
Evt17 connection closed | AA-5   | AA-4    | AA-4   | AA-4    | AR-5
Evt18 ARTIM expired     | AA-2   | none    | none   | none    | AA-2
Evt19 unrecognized PDU  | AA-1   | AA-8/1  | AA-8/1 | AA-8/1  | AA-7/1
Evt19 invalid PDU       | AA-1   | AA-8/6  | AA-8/6 | AA-8/6  | AA-7/6
"""


def cells() -> list[tuple[str, int, str]]:
    """(event, state, action) of each cell."""
    rows = [[cell.strip() for cell in line.split("|")] for line in TABLE.splitlines()[2:]]
    return [
        (event, state, action)
        for event, *actions in rows
        for state, action in zip((2, 3, 6, 8, 13), actions, strict=True)
    ]
