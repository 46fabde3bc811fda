"""The printed result of a promise is that of its tests: a skipped test does not count as kept."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from support.promises.results import outcomes


def report(outcome: Literal["passed", "failed", "skipped"], when: Any = "call", **properties: str) -> pytest.TestReport:
    longrepr: Any = ("test_02.py", 7, "Skipped: no loop device") if outcome == "skipped" else None
    told = [("promise", 2), *properties.items()]
    return pytest.TestReport("a test", ("test_02.py", 7, "a test"), {}, outcome, longrepr, when, user_properties=told)


def test_kept() -> None:
    [outcome] = outcomes([report("passed", "setup"), report("passed", figure="0 lost"), report("passed")]).values()
    assert (outcome.result, outcome.tests, outcome.figures) == ("kept", 2, ["0 lost"])


@pytest.mark.parametrize("when", ["setup", "call", "teardown"])
def test_broken(when: str) -> None:
    [outcome] = outcomes([report("passed"), report("failed", when), report("passed")]).values()
    assert outcome.result == "BROKEN"


@pytest.mark.parametrize("when", ["setup", "call"])
def test_skipped(when: str) -> None:
    [outcome] = outcomes([report("skipped", when)]).values()
    assert (outcome.result, outcome.figures) == ("peers", ["not run: no loop device"])
    [outcome] = outcomes([report("passed"), report("skipped", when)]).values()
    assert (outcome.result, outcome.tests, outcome.figures) == ("kept", 1, ["not run: no loop device"])


def test_peers() -> None:
    [outcome] = outcomes([report("passed", peer="storescp", does="20 of 20 lost")]).values()
    assert (outcome.result, outcome.tests, outcome.peers) == ("peers", 0, {"storescp": ["20 of 20 lost"]})
