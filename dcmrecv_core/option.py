"""One option of the command line: its names, what follows it, what it sets. The table of them is `options.py`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from dcmrecv_core.errors import CommandLineError
from dcmrecv_core.logs import LEVELS

Kind = Literal["string", "integer", "size", "level", "choice"]
Action = Literal["run", "help", "version", "list-plugins", "explain", "dump-settings", "new-plugin", "list-ciphers"]

LARGEST_INTEGER = 2**31 - 1
"""Larger numbers count as this one: as seconds it is 68 years, and every system call can take it."""

LARGEST_SIZE = 2**62
"""The same for sizes, in bytes."""

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30}
_SIZE = re.compile(r"([0-9]{1,20})([KMG]?)", re.IGNORECASE)
_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?)([0-9]+)")


@dataclass(frozen=True, slots=True)
class Value:
    """One value that follows an option: its name, of which the first letter stands for it, kind, range and choices."""

    name: str
    kind: Kind = "string"
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()

    def shown(self, number: int | None) -> str:
        """One of its limits in words."""
        return size_text(number) if self.kind == "size" and number is not None else str(number)


@dataclass(frozen=True, slots=True)
class Option:
    """One option of the command line.

    A flag gives the settings fields in `sets` their values; an option with `values` puts them into the settings
    field `key` (a tuple if there are several), one that is `repeatable` appends to it. Of the options with one
    `exclusive` name only the rightmost counts. `default` is shown in the help, the value of a `secret` one never;
    `action` is what the program does instead of receiving.
    """

    section: str
    group: str
    long: str
    short: str
    help: str
    values: tuple[Value, ...] = ()
    key: str = ""
    sets: dict[str, Any] = field(default_factory=dict)
    exclusive: str = ""
    default: str = ""
    repeatable: bool = False
    secret: bool = False
    action: Action = "run"

    @property
    def arity(self) -> int:
        """How many tokens the option swallows."""
        return len(self.values)

    def convert(self, texts: tuple[str, ...]) -> Any:
        """The value for the settings field `key`. Raises CommandLineError with dcmrecv's text."""
        converted = tuple(self._convert(value, text) for value, text in zip(self.values, texts, strict=True))
        return converted[0] if len(converted) == 1 else converted

    def _convert(self, value: Value, text: str) -> str | int:
        if value.kind == "string":
            return text
        if value.kind == "level":
            if text.lower() not in LEVELS:
                raise CommandLineError("Invalid log level for --log-level option")
            return text.lower()
        if value.kind == "choice":
            if text not in value.choices:
                allowed = f"one of {', '.join(value.choices)} expected"
                raise CommandLineError(f"Invalid value for option {self.long} ({text}): {allowed}")
            return text
        number = scan_size(text) if value.kind == "size" else scan_integer(text)
        if number is None:
            raise CommandLineError(f"Invalid value for option {self.long}" + (f" ({text})" if text else ""))
        fault = range_fault(number, value.minimum, value.maximum)
        if fault:
            raise CommandLineError(f"Invalid value for option {self.long} ({fault}: {text})")
        return number


def scan_integer(text: str, *, signed: bool = False) -> int | None:
    """Read an integer as C's scanf does: leading white space, a plus sign and trailing rubbish are fine, a minus sign
    only if `signed`. None if there is no number."""
    match = _NUMBER.match(text)
    if match is None:
        return None
    sign, digits = match.groups()
    if sign == "-" and not signed:
        return None
    number = min(int(digits.lstrip("0")[:20] or "0"), LARGEST_INTEGER)  # int() refuses thousands of digits
    return -number if sign == "-" else number


def scan_size(text: str) -> int | None:
    """Read a number of bytes like 4096, 500M or 2G; K, M and G are powers of 1024. None if it is none."""
    match = _SIZE.fullmatch(text)
    return min(int(match[1]) << _UNITS[match[2].upper()], LARGEST_SIZE) if match else None


def size_text(size: int) -> str:
    """A number of bytes as `scan_size` reads it, with the largest unit that fits."""
    unit = next(unit for unit in ("G", "M", "K", "") if not size or not size % (1 << _UNITS[unit]))
    return f"{size >> _UNITS[unit]}{unit}" if size else "0"


def range_fault(number: int, minimum: int | None, maximum: int | None) -> str | None:
    """dcmrecv's word for a number that is out of range, or None."""
    if minimum is not None and number < minimum:
        return "underflow"
    if maximum is not None and number > maximum:
        return "overflow"
    return None
