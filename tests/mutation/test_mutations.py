"""The faults of mutants, and that the list of survivors names existing mutants."""

from __future__ import annotations

import ast
import tomllib

import pytest

from support.mutation.mutation_run import PACKAGE, SURVIVORS, chosen, modules
from support.mutation.mutations import mutants_of, sample
from support.paths import ROOT

SOURCE = '''
"""Text."""
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import os
Either = int | str
def function(first: int = 1) -> bool:
    """Text."""
    log.info("%d", 2)
    if first < 3 and not function():
        first += 4
    return first
'''


def test_faults() -> None:
    """No faults in text, log lines or types."""
    assert [(mutant.place, mutant.before, mutant.after) for mutant in mutants_of("m.py", SOURCE)] == [
        ("function", "1", "2"),
        ("function", "first < 3 and (not function())", "first < 3 or not function()"),
        ("function", "first < 3", "first <= 3"),
        ("function", "3", "4"),
        ("function", "first += 4", "first -= 4"),
        ("function", "first += 4", "pass"),
        ("function", "4", "5"),
        ("function", "return first", "return None"),
    ]


def test_mutants_are_told_apart() -> None:
    mutants = mutants_of("m.py", SOURCE.replace("3", "1"))
    assert len({mutant.name for mutant in mutants}) == len(mutants)
    for mutant in mutants:
        ast.parse(mutant.source)
        assert mutant.source != ast.unparse(ast.parse(SOURCE))


def test_a_sample_does_not_change_with_code_elsewhere() -> None:
    before = sample(mutants_of("m.py", SOURCE), 3, 1)
    after = sample(mutants_of("m.py", "import sys\n" + SOURCE), 3, 1)
    assert [mutant.name for mutant in before] == [mutant.name for mutant in after]
    assert [mutant.line + 1 for mutant in before] == [mutant.line for mutant in after]


def test_no_module_is_left_out() -> None:
    """Modules without a mutant only declare."""
    without = {name for name in modules() if not mutants_of(name, (ROOT / PACKAGE / name).read_text())}
    assert without == {"proto/__init__.py", "proto/events.py"}
    assert {mutant.module for mutant in chosen(100, 1)} == set(modules()) - without


@pytest.mark.parametrize("name", tomllib.loads(SURVIVORS.read_text()))
def test_survivors_are_existing_mutants(name: str) -> None:
    module = name.partition(" ")[0]
    assert name in {mutant.name for mutant in mutants_of(module, (ROOT / PACKAGE / module).read_text())}
