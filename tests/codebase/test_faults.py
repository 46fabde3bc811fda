"""Each fault that was found once has a test that was red then: a function `test_fault_NUMBER_...`, wherever it belongs.

The numbers are those of the table here. A fault that has no test yet is in the second table, with the reason.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.paths import ROOT, TESTS

FAULTS: dict[int, str] = {
    1: "two receivers on one directory without unnamed files take, sweep or link each other's hidden files",
    2: "an instance overwrites another one that a layout or a plugin gave the same name",
    3: "what follows a stray delimiter at top level is stored, but seen by no check and no plugin",
    4: "`keep` answers Success although nothing whole of that instance is there",
    5: "a warning, or a first plugin that stores, silently keeps the plugins after it from being asked",
    6: "a new header keeps values that the plugin never saw, or does not reach the file's name",
    7: "one instance that cannot be decoded stops the index and its rescan for ever",
    8: "one stray instance, or a clock set back, makes the index show the wrong patient or an old copy",
    9: "an instance is confirmed although what is to be done with it is lost",
    10: "IDs of several patients become the same where bytes do not fit the declared character set",
    11: "a value is escaped twice, cut at a backslash, or read in two ways, so one patient has two places",
    12: "values of patients are in the log above debug, though the conformance statement denies it",
    13: "silent TLS handshakes of one address keep all other senders out",
    14: "silent or dribbling associations of few addresses keep all other senders out",
    15: "SIGTERM is lost after a flood of other signals",
    16: "workers that cannot open descriptors, or do not answer, keep getting associations",
    17: "of the proposed transfer syntaxes a private, a JPIP or an implicit one is chosen because it stands first",
    18: "data sets are refused that DCMTK and Orthanc store, and the error names the wrong place",
    19: "bytes after a command set, PDUs that are too long, and even context ids have a reaction that is told nowhere",
    20: "connections that are no association are logged as errors, without what the peer really spoke",
    21: "the log does not say whose instance was stored or refused, or why",
    22: "a lost connection is called an abort, and a second request is aborted without a line",
    23: "the line of a failed plugin or a killed worker names neither plugin, hook, peer nor instance",
    24: "mistakes in options get no hint: allowed values, similar names, the file with the fault",
    25: "recipes for storescp's commands know placeholders as whole words only, count associations, hold a worker",
    29: "debugging and development are told nowhere, code is never loaded again, --list-plugins shows no options",
}
"""What was wrong, by number."""

LEFT: dict[int, str] = {
    26: "the next version of the kit for plugins: its package, its typing, its templates",
    27: "the next version of the kit: what a failed send shows, expected rejections, a clock",
    28: "the next version of the kit: what its check of names finds",
}
"""Faults without a test, and why."""


def functions() -> Iterator[tuple[str, Path]]:
    """Name and file of each test function, of methods too."""
    for top in (TESTS, *(ROOT / "plugins").glob("*/tests")):
        for path in sorted(top.rglob("test_*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                    yield node.name, path


@pytest.fixture(scope="module")
def tested() -> dict[int, list[str]]:
    """The tests of each fault."""
    found: dict[int, list[str]] = defaultdict(list)
    for name, path in functions():
        if match := re.match(r"test_fault_(\d+)_\w", name):
            found[int(match[1])].append(f"{path.relative_to(ROOT)}::{name}")
    return found


@pytest.mark.parametrize("number", FAULTS)
def test_each_fault_has_a_test(tested: dict[int, list[str]], number: int) -> None:
    assert tested.get(number), f"no test_fault_{number}_...: {FAULTS[number]}"


def test_each_number_is_that_of_a_fault(tested: dict[int, list[str]]) -> None:
    assert {number: names for number, names in tested.items() if number not in FAULTS} == {}


def test_a_fault_is_tested_or_left() -> None:
    assert FAULTS.keys().isdisjoint(LEFT)
    assert sorted([*FAULTS, *LEFT]) == list(range(1, max(*FAULTS, *LEFT) + 1))
