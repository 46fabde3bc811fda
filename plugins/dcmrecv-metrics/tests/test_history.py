"""The last hour."""

from __future__ import annotations

from documents import document

from dcmrecv_metrics.history import SPAN, STEP, History, Interval
from dcmrecv_metrics.plots import MINUTES, minutes, plot


def status(stored: int, refused: int = 0, rejected: int = 0, size: int = 0, connected: int = 0) -> dict[str, object]:
    found = document(associations=[{}] * connected)
    found["totals"]["instances"] = {"stored": stored, "refused": refused, "discarded": 0}
    found["totals"]["associations"]["rejected"] = rejected
    found["totals"]["bytes"] = size
    return found


def test_what_was_counted_between_two_samples() -> None:
    history = History()
    history.add(status(100), 1000.0)
    history.add(status(150, refused=2, rejected=3, size=5000, connected=2), 1010.0)
    assert list(history.intervals(1012.0)) == [Interval(2.0, 10.0, 5.0, 0.5, 500.0, 2)]


def test_an_hour_is_kept() -> None:
    history = History()
    for number in range(1000):
        history.add(status(number), number * STEP)
    found = list(history.intervals(999 * STEP))
    assert len(found) == SPAN / STEP
    assert (found[0].age, found[-1].age) == (SPAN - STEP, 0.0)


def test_a_counter_that_went_back_is_left_out() -> None:
    history = History()
    for at, stored in ((0.0, 100), (10.0, 0), (20.0, 50)):
        history.add(status(stored), at)
    assert [interval.stored for interval in history.intervals(20.0)] == [5.0]


def test_samples_at_one_moment() -> None:
    history = History()
    history.add(status(1), 5.0)
    history.add(status(2), 5.0)
    assert list(history.intervals(5.0)) == []


def test_minutes() -> None:
    found = minutes(
        [
            Interval(age=3599.0, seconds=10.0, stored=1.0, refused=0.0, bytes=0.0, open=0),
            Interval(age=65.0, seconds=10.0, stored=2.0, refused=1.0, bytes=10.0, open=7),
            Interval(age=61.0, seconds=10.0, stored=3.0, refused=0.0, bytes=10.0, open=4),
            Interval(age=3600.0, seconds=10.0, stored=99.0, refused=0.0, bytes=0.0, open=0),
        ]
    )
    assert len(found) == MINUTES
    assert [index for index, minute in enumerate(found) if minute.known] == [0, MINUTES - 2]
    assert (found[0].stored, found[-2].stored, found[-2].refused, found[-2].open) == (10.0, 50.0, 10.0, 7)


def test_a_plot_has_a_bar_for_each_minute_that_is_known() -> None:
    hour = minutes([Interval(age, 60.0, 1.0, 0.0, 0.0, 0) for age in (0.0, 60.0, 120.0)])
    drawn = plot("Stored", "stored", hour, lambda minute: minute.stored)
    assert (drawn.count('class="stored"'), drawn.count('class="unknown"')) == (3, MINUTES - 3)
    assert ">100<" in drawn, "the top line: the next round number"


def test_a_plot_of_nothing() -> None:
    assert plot("Stored", "stored", minutes([]), lambda minute: minute.stored).count("<rect") == MINUTES
