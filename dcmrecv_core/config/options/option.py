"""One option of the command line: its names, what follows it, what it sets. The table of them is `table.py`.

A table reads as `Section(title, Group(title, flag(...), valued(...), *one_of(...)))`; `flatten` makes a row of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dcmrecv_core.api.errors import CommandLineError
from dcmrecv_core.api.hints import did_you_mean
from dcmrecv_core.logs.records import LEVELS
from dcmrecv_core.settings.uids import find_syntax

Kind = Literal["string", "integer", "size", "level", "choice", "transfer-syntax", "network"]
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
    """One value that follows an option: its name, of which the first letter stands for it, kind, range and choices.

    `zero_is_none`: 0 means that there is no limit, which the settings say as None.
    """

    name: str
    kind: Kind = "string"
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    zero_is_none: bool = False

    def shown(self, number: int | None) -> str:
        """One of its limits in words."""
        return size_text(number) if self.kind == "size" and number is not None else str(number)

    @property
    def names(self) -> tuple[str, ...]:
        """All values of a kind that has a closed set of them."""
        return tuple(LEVELS) if self.kind == "level" else self.choices

    @property
    def allowed(self) -> str:
        """What may stand on a command line for it, in words."""
        if self.names:
            return f"one of {', '.join(self.names)}"
        if self.kind == "string":
            return self.name
        if self.kind == "transfer-syntax":
            return "the name or UID of a transfer syntax"
        if self.kind == "network":
            return "an IP address, or a network like 10.1.0.0/16"
        limits = f"from {self.shown(self.minimum or 0)}"
        limits += "" if self.maximum is None else f" to {self.shown(self.maximum)}"
        return f"an integer {limits}" if self.kind == "integer" else f"bytes like 4096, 500M or 2G, {limits}"


@dataclass(frozen=True, slots=True)
class Option:
    """One option of the command line.

    A flag gives the settings fields in `sets` their values; an option with `values` puts them into the settings
    field `key` (a tuple if there are several), one that is `repeatable` appends to it. Of the options with one
    `exclusive` name only the rightmost counts. `default` is shown in the help, the value of a `secret` one never;
    `action` is what the program does instead of receiving. `section` and `group` are the headings in the help.
    """

    long: str
    short: str
    help: str
    section: str = ""
    group: str = ""
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
        """How many tokens the option takes."""
        return len(self.values)

    def convert(self, texts: tuple[str, ...]) -> Any:
        """The value for the settings field `key`. Raises CommandLineError with DCMTK's text."""
        converted = tuple(self._convert(value, text) for value, text in zip(self.values, texts, strict=True))
        return converted[0] if len(converted) == 1 else converted

    def _convert(self, value: Value, text: str) -> str | int | None:
        if value.kind == "string":
            return text
        hint = f"give {value.allowed}"
        if value.names:
            chosen = text.lower() if value.kind == "level" else text
            if chosen in value.names:
                return chosen
            near = did_you_mean(text, value.names)
            raise CommandLineError(
                "Invalid log level for --log-level option"
                if value.kind == "level"
                else f"Invalid value for option {self.long} ({text})",
                hint=f"{hint}; {near}" if near else hint,
            )
        if value.kind == "transfer-syntax":
            uid = find_syntax(text, transfer=True)
            if uid is None:
                raise CommandLineError(f"Invalid value for option {self.long} ({text})", hint=hint)
            return uid
        if value.kind == "network":
            network = scan_network(text)
            if network is None:
                raise CommandLineError(f"Invalid value for option {self.long} ({text})", hint=hint)
            return network
        number = scan_size(text) if value.kind == "size" else scan_integer(text)
        if number is None:
            raise CommandLineError(f"Invalid value for option {self.long}" + (f" ({text})" if text else ""), hint=hint)
        fault = range_fault(number, value.minimum, value.maximum)
        if fault:
            raise CommandLineError(f"Invalid value for option {self.long} ({fault}: {text})", hint=hint)
        return None if value.zero_is_none and number == 0 else number


def flag(names: str, help: str, *, action: Action = "run", **sets: Any) -> Option:
    """An option without a value: `flag("--quiet -q", "log ...", log_level="fatal")`."""
    long, short = _names(names)
    return Option(long, short, help, sets=sets, action=action)


def valued(
    names: str,
    help: str,
    *values: Value,
    key: str = "",
    default: str = "",
    repeatable: bool = False,
    secret: bool = False,
    action: Action = "run",
) -> Option:
    """An option with values for the settings field `key`, which has the option's name unless `key` says otherwise;
    one with an `action` has values for that."""
    long, short = _names(names)
    if not key and action == "run":
        key = long.lstrip("-").replace("-", "_")
    return Option(
        long, short, help, values=values, key=key, default=default, repeatable=repeatable, secret=secret, action=action
    )


def without_key(names: str, help: str, value: Value) -> Option:
    """An option with a value that is no setting."""
    long, short = _names(names)
    return Option(long, short, help, values=(value,))


def one_of(*options: Option) -> list[Option]:
    """Options of which only the rightmost on a command line counts."""
    return [replace(option, exclusive=options[0].long) for option in options]


class Group:
    """Options under one heading of a section; "" is none."""

    def __init__(self, title: str, *options: Option) -> None:
        self.title = title
        self.options = options


class Section:
    """Groups of options under one heading of the help."""

    def __init__(self, title: str, *groups: Group) -> None:
        self.title = title
        self.groups = groups


def flatten(sections: Iterable[Section]) -> tuple[Option, ...]:
    """All options, each with its headings."""
    return tuple(
        replace(option, section=section.title, group=group.title)
        for section in sections
        for group in section.groups
        for option in group.options
    )


def _names(names: str) -> tuple[str, str]:
    long, _, short = names.partition(" ")
    return long, short


def scan_integer(text: str, *, signed: bool = False) -> int | None:
    """Read an integer as C's scanf does: leading white space, a plus sign and trailing text are accepted, a minus
    sign only if `signed`. None if there is no number."""
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


def scan_network(text: str) -> str | None:
    """Read an IPv4 or IPv6 address or network in CIDR notation; returns it as a network, None if it is none."""
    from ipaddress import ip_network  # takes some milliseconds of the start

    try:
        return str(ip_network(text))
    except ValueError:
        return None


def size_text(size: int) -> str:
    """A number of bytes as `scan_size` reads it, with the largest unit that fits."""
    unit = next(unit for unit in ("G", "M", "K", "") if not size or not size % (1 << _UNITS[unit]))
    return f"{size >> _UNITS[unit]}{unit}" if size else "0"


def range_fault(number: int, minimum: int | None, maximum: int | None) -> str | None:
    """DCMTK's word for a number that is out of range, or None."""
    if minimum is not None and number < minimum:
        return "underflow"
    if maximum is not None and number > maximum:
        return "overflow"
    return None
