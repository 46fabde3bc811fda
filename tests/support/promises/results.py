"""The results of each promise, from pytest's reports."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pytest


class Outcome(NamedTuple):
    """The outcome of one promise: "kept", "BROKEN", or "peers" if no test of ours ran, because others were
    measured or all tests were skipped."""

    result: str
    tests: int
    seconds: float
    figures: list[str]
    peers: dict[str, list[str]]


def outcomes(reports: Iterable[pytest.TestReport]) -> dict[int, Outcome]:
    """By the number of the promise; tests that measure a peer give no result, only what that peer does."""
    found: dict[int, Outcome] = {}
    for report in reports:
        properties = list(getattr(report, "user_properties", ()))  # a module that cannot be collected has no promise
        number = next((value for name, value in properties if name == "promise"), None)
        if number is None or (report.when != "call" and report.passed):
            continue
        found[number] = _added(found.get(number, Outcome("peers", 0, 0.0, [], {})), report, properties)
    return found


def _added(outcome: Outcome, report: pytest.TestReport, properties: list[tuple[str, object]]) -> Outcome:
    seconds = outcome.seconds + report.duration
    peer = next((value for name, value in properties if name == "peer"), None)
    if peer is not None:
        did = [str(value) for name, value in properties if name == "does"]
        peers = {**outcome.peers, str(peer): _distinct([*outcome.peers.get(str(peer), []), *did])}
        return outcome._replace(seconds=seconds, peers=peers)
    figures = _distinct([*outcome.figures, *(str(value) for name, value in properties if name == "figure")])
    if report.skipped:  # named on the page, and never counted as kept
        return outcome._replace(seconds=seconds, figures=_distinct([*figures, f"not run: {_reason(report)}"]))
    result = "BROKEN" if report.failed or outcome.result == "BROKEN" else "kept"
    return outcome._replace(result=result, tests=outcome.tests + 1, seconds=seconds, figures=figures)


def _reason(report: pytest.TestReport) -> str:
    """Why a test was skipped, without the place that pytest puts before it."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _distinct(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(texts))
