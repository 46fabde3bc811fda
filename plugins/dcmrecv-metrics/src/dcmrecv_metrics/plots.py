"""Small plots of the last hour, one bar a minute, as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dcmrecv_metrics.history import SPAN, Interval
from dcmrecv_metrics.markup import Markup, element

MINUTES = int(SPAN // 60)

_WIDTH, _HEIGHT, _TOP = 300, 72, 6
_BAR = _WIDTH / MINUTES


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute; `known` is false where there is no sample."""

    stored: float = 0.0
    refused: float = 0.0
    bytes: float = 0.0
    open: int = 0
    known: bool = False


def minutes(intervals: Iterable[Interval]) -> list[Minute]:
    """The last hour, oldest first. What was counted in an interval counts for the minute in which it ended."""
    result = [Minute() for _ in range(MINUTES)]
    for interval in intervals:
        index = MINUTES - 1 - int(interval.age // 60)
        if 0 <= index < MINUTES:
            so_far = result[index]
            result[index] = Minute(
                so_far.stored + interval.stored * interval.seconds,
                so_far.refused + interval.refused * interval.seconds,
                so_far.bytes + interval.bytes * interval.seconds,
                max(so_far.open, interval.open),
                known=True,
            )
    return result


def plot(title: str, kind: str, hour: list[Minute], value: Callable[[Minute], float], unit: str = "") -> Markup:
    """A figure with its title; `kind` is the class that colours the bars."""
    values = [value(minute) for minute in hour]
    highest = _round_up(max(values))
    bars = [
        _bar(index, number / highest, kind) if minute.known else _gap(index)
        for index, (minute, number) in enumerate(zip(hour, values, strict=True))
    ]
    said = f"{title}: at most {_number(max(values))}{unit}, in the last minute {_number(values[-1])}{unit}"
    drawing = element(
        "svg",
        element("line", class_="grid", x1=0, x2=_WIDTH, y1=_TOP, y2=_TOP),
        element("line", class_="grid", x1=0, x2=_WIDTH, y1=(_TOP + _HEIGHT) / 2, y2=(_TOP + _HEIGHT) / 2),
        *bars,
        element("line", class_="axis", x1=0, x2=_WIDTH, y1=_HEIGHT, y2=_HEIGHT),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT + 1}",
        preserveAspectRatio="none",
        role="img",
        aria_label=said,
    )
    return element(
        "figure",
        element("figcaption", title, element("b", f"{_number(values[-1])}{unit}")),
        element("div", drawing, element("span", f"{_number(highest)}{unit}", class_="highest"), class_="plot"),
        element("div", element("span", "60 min ago"), element("span", "now"), class_="time"),
    )


def _bar(index: int, share: float, kind: str) -> Markup:
    height = round(share * (_HEIGHT - _TOP), 1)
    return element("rect", class_=kind, x=_BAR * index + 0.5, width=_BAR - 1, y=_HEIGHT - height, height=height)


def _gap(index: int) -> Markup:
    return element("rect", class_="unknown", x=_BAR * index, width=_BAR, y=_HEIGHT - 3, height=3)


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50 ... from `value` on."""
    if value <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"
