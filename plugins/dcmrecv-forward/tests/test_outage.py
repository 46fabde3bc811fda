from __future__ import annotations

import logging

import pytest

from dcmrecv_forward.outage import Outage


class Clock:
    """Sleeping turns it on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outage(clock: Clock) -> Outage:
    return Outage("A", lambda: clock.now, clock.sleep)


def test_growing_pauses_and_two_lines(outage: Outage, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "dcmrecv.forward"):
        for number in range(9):
            outage.wait(ConnectionError(f"refused {number}"))
        outage.worked()
        outage.worked()
    assert clock.slept == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "destination A is down, instances for it wait: refused 0"),
        ("INFO", "destination A is back after 243 s"),
    ]
    outage.wait(ConnectionError("again"))
    assert clock.slept[-1] == 1
    assert caplog.records[-1].message == "destination A is down, instances for it wait: again"


def test_failing_instances_in_a_row_slow_it_down(outage: Outage, clock: Clock) -> None:
    for _ in range(4):
        outage.slow_down()
    assert clock.slept == [1, 2, 4]
    outage.worked()
    outage.slow_down()
    assert clock.slept == [1, 2, 4]
