"""The rows of the parity suite, and the comparison of both programs' outcomes.

A row is one input for DCMTK dcmrecv and for ours, named after the one rule it covers. Each test module of
tests/parity has a subclass of `Row` with the fields of its input, a tuple `ROWS` of them, and a test that is
parametrized by `by_rule(ROWS)`: it gives the input to both programs and
passes both outcomes to `compare`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any, ClassVar

import pytest

from support.paths import TESTS


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One input and the rule it covers, a short phrase that no other row has.

    `differs` says in one sentence how and why ours differs on purpose; then `ours` and `theirs` are the outcomes.
    Without it the outcomes must be equal.
    """

    kind: ClassVar[str]
    rule: str
    differs: str = ""
    ours: Any = None
    theirs: Any = None

    @property
    def input(self) -> tuple[object, ...]:
        """The fields that a subclass adds: they differ from row to row."""
        common = {field.name for field in fields(Row)}
        return tuple(getattr(self, field.name) for field in fields(self) if field.name not in common)


def by_rule(rows: Sequence[Row]) -> pytest.MarkDecorator:
    """Parametrizes a test by `row`."""
    return pytest.mark.parametrize("row", rows, ids=[row.rule for row in rows])


def compare(row: Row, ours: object, theirs: object) -> None:
    """Fail unless the outcomes are equal, or differ as the row says."""
    if row.differs:
        assert ours != theirs, "no longer a difference"
        assert theirs == row.theirs
        assert ours == row.ours
    else:
        assert ours == theirs


def all_rows() -> list[Row]:
    """The rows of all test modules."""
    modules = sorted(path.stem for path in (TESTS / "parity").glob("test_*.py"))
    return [row for name in modules for row in getattr(import_module(f"parity.{name}"), "ROWS", ())]
