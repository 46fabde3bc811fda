"""Numbers, sizes and times for people."""

from __future__ import annotations

import pytest
from documents import NOW, before

from dcmrecv_metrics.words import age, moment, number, size, span


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (111_000_000, "111 MB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (99_949_000, "99.9 MB"),
        (2.5e12, "2.5 TB"),
        (2e18, "2000 PB"),
    ],
)
def test_size(value: float, text: str) -> None:
    assert size(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (59.9, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (7320, "2 h 2 min"), (90000, "1 d 1 h")],
)
def test_span(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_times() -> None:
    assert age(before(minutes=2), NOW) == "2 min 0 s"
    assert moment(before(hours=1), NOW) == "14:09:26"
    assert moment("2026-03-14T14:00:00+00:00", NOW) == "15:00:00", "in the zone of the receiver"
    assert moment(before(days=1), NOW) == "2026-03-13 15:09"


def test_number() -> None:
    assert number(1234567) == "1,234,567"
