"""Line charts as SVG, drawn by hand: both axes logarithmic, each line named at its end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 170, 56, 52
_LINE_HEIGHT = 16
_INK, _FAINT, _GRID = "#2b2b2b", "#6b6b6b", "#e4e4e4"
_FONT = "font-family='Helvetica, Arial, sans-serif'"


class Line(NamedTuple):
    """Points from left to right; all values above 0. A limit is dashed."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    is_limit: bool = False


def chart(title: str, x_title: str, y_title: str, lines: Sequence[Line], x_ticks: dict[float, str]) -> str:
    """An SVG document. The label of y stands under the title, so that it is horizontal."""
    values = [value for line in lines for _, value in line.points]
    ticks = _ticks(min(values), max(values))
    x = _scale(min(x_ticks), max(x_ticks), _LEFT + 12, WIDTH - _RIGHT)
    y = _scale(min(ticks[0], *values), max(ticks[-1], *values), HEIGHT - _BOTTOM, _TOP + 14)
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' role='img'>",
        f"<title>{escape(title)}</title>",
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='#ffffff'/>",
        _text(16, 24, title, _INK, size=16, weight="bold"),
        _text(16, 43, y_title, _FAINT),
        *(_y_tick(y(value), value) for value in ticks),
        *(_x_tick(x(value), text) for value, text in x_ticks.items()),
        _text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 12, x_title, _FAINT, anchor="middle"),
    ]
    ends = _apart([y(line.points[-1][1]) for line in lines])
    for line, end in zip(lines, ends, strict=True):
        parts += _drawn(line, x, y, end)
    return "\n".join([*parts, "</svg>", ""])


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    span = math.log(high / low) or 1
    return lambda value: start + (end - start) * math.log(value / low) / span


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten around the values; only the powers if those are too many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    all_ticks = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    around = [tick for tick in all_ticks if low / 2.5 < tick < high * 2.5]
    few = [tick for tick in around if math.log10(tick).is_integer()]
    return few if len(around) > 9 and len(few) > 1 else around


def _apart(places: Sequence[float]) -> list[float]:
    """The places of labels, moved down where two would overlap."""
    moved, last = list(places), -math.inf
    for index in sorted(range(len(places)), key=places.__getitem__):
        moved[index] = last = max(places[index], last + _LINE_HEIGHT)
    return moved


def _drawn(line: Line, x: Callable[[float], float], y: Callable[[float], float], end: float) -> Iterable[str]:
    places = [(x(across), y(value)) for across, value in line.points]
    path = " ".join(f"{across:.1f},{up:.1f}" for across, up in places)
    dash = " stroke-dasharray='6 4'" if line.is_limit else ""
    yield (
        f"<polyline points='{path}' fill='none' stroke='{line.colour}' stroke-width='2.5'"
        f" stroke-linejoin='round' stroke-linecap='round'{dash}/>"
    )
    if not line.is_limit:
        yield from (f"<circle cx='{across:.1f}' cy='{up:.1f}' r='3.5' fill='{line.colour}'/>" for across, up in places)
    yield _text(places[-1][0] + 12, end + 4, line.name, line.colour, weight="bold")


def _y_tick(at: float, value: float) -> str:
    rule = f"<line x1='{_LEFT}' y1='{at:.1f}' x2='{WIDTH - _RIGHT + 6}' y2='{at:.1f}' stroke='{_GRID}'/>"
    return rule + _text(_LEFT - 8, at + 4, f"{value:,g}".replace(",", " "), _FAINT, anchor="end")


def _x_tick(at: float, text: str) -> str:
    return _text(at, HEIGHT - _BOTTOM + 18, text, _FAINT, anchor="middle")


def _text(
    x: float, y: float, text: str, colour: str, *, size: int = 12, anchor: str = "start", weight: str = ""
) -> str:
    bold = f" font-weight='{weight}'" if weight else ""
    place = f"x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'"
    return f"<text {place} {_FONT} font-size='{size}' fill='{colour}'{bold}>{escape(text)}</text>"
