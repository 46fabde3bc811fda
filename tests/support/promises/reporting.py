"""Counts of the two kinds of run, measured figures, the summary of promises: for `tests/conftest.py`, so that several
folders of promises can be run together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.promises.promises import PROMISES
from support.promises.results import Outcome, outcomes


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("promises")
    group.addoption("--full", action="store_true", help="full counts, and the peers (tox -e endurance)")
    group.addoption("--results", type=Path, help="write the outcome of each promise to this file (JSON)")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "promise(number): counts for the promise of that number (promises.py)")
    config.addinivalue_line("markers", "xdist_group(name): run in one process, where tests run in several")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks each test's report with its promise, for the summary; other receivers are measured in full runs only."""
    of_promises = [item for item in items if item.get_closest_marker("promise")]
    if not config.getoption("full"):
        of_peers = [item for item in of_promises if "peer" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=of_peers)
        items[:] = [item for item in items if item not in of_peers]
    for item in of_promises:
        [number] = next(item.iter_markers("promise")).args
        item.user_properties.append(("promise", number))  # reaches the reports of xdist
        if "peer" in getattr(item, "fixturenames", ()):
            item.user_properties.append(("peer", item.callspec.params["peer"]))
        item.add_marker(pytest.mark.xdist_group(item.path.name))


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """`count(ci, full)`: how often to do it: the first number, with --full the second."""
    return lambda ci, full: full if request.config.getoption("full") else ci


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """`figure("0 of 40 lost")` records a measurement; the figures of a promise are listed, equal ones once."""
    return lambda text: request.node.user_properties.append(("figure", text))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = outcomes(report for name in ("passed", "failed", "error") for report in terminalreporter.getreports(name))
    if not found:
        return
    terminalreporter.section("promises")
    for number in sorted(PROMISES.keys() & found.keys()):
        outcome = found[number]
        terminalreporter.line(f"{number:2} {outcome.result:6} {outcome.seconds:5.0f} s  {'; '.join(outcome.figures)}")
    if missing := ", ".join(map(str, PROMISES.keys() - found.keys())):
        terminalreporter.line(f"not tested in this run: {missing}")
    if path := config.getoption("results"):
        write_results(path, found, full=config.getoption("full"))


def write_results(path: Path, found: dict[int, Outcome], *, full: bool) -> None:
    promises = {str(number): outcome._asdict() for number, outcome in sorted(found.items())}
    path.write_text(json.dumps({"full": full, "promises": promises}, indent=1) + "\n")
