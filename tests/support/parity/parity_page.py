"""Makes docs/parity.md from the rows."""

from __future__ import annotations

from collections.abc import Iterable

from support.parity.rules import Row
from support.paths import DOCS

PAGE = DOCS / "parity.md"

_HEAD = """\
# Parity with DCMTK dcmrecv

This page lists all differences between DCMTK dcmrecv 3.6.7 and this program ("ours") that are there on purpose;
[Changing from dcmrecv](migrating.md) has the important ones. `tox -e parity` gives both the same input. It compares
exit codes and messages, answers on the network, files and their bytes, and log lines. Each row of the tests covers one
rule. If the programs differ, it says how and why, and the test checks both; the page is generated from these rows.
Lines of ours that name the sender, beside a line of DCMTK's, are compared only in rows about them.

| kind | rule | how and why ours differs |
|---|---|---|
"""


def page(rows: Iterable[Row]) -> str:
    """The page that lists the intended differences."""
    lines = (f"| {row.kind} | {_cell(row.rule)} | {_cell(row.differs)} |\n" for row in rows if row.differs)
    return _HEAD + "".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
