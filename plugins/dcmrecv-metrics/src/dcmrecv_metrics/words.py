"""Numbers, sizes and times for people."""

from __future__ import annotations

from datetime import datetime

_UNITS = ("kB", "MB", "GB", "TB", "PB")


def number(value: float) -> str:
    return f"{value:,.0f}"


def size(value: float) -> str:
    """A number of bytes: 1.5 GB is 1 500 000 000."""
    if value < 1000:
        return f"{value:.0f} B"
    for unit in _UNITS:
        value /= 1000
        if value < 999.5 or unit == _UNITS[-1]:
            break
    return f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"


def span(seconds: float) -> str:
    """A duration with its two largest units."""
    left = max(0, int(seconds))
    if left < 60:
        return f"{left} s"
    for name, length, smaller, short in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if left >= length:
            whole, rest = divmod(left, length)
            return f"{whole} {name} {rest // short} {smaller}"
    raise AssertionError  # a minute or more has been found


def moment(text: str, now: datetime) -> str:
    """A time of today as 14:05:09, another one with its date, in the time zone of the receiver."""
    at = datetime.fromisoformat(text).astimezone(now.tzinfo)
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M}"


def age(text: str, now: datetime) -> str:
    """How long ago a time was."""
    return span((now - datetime.fromisoformat(text)).total_seconds())
