"""The keys of a settings file, derived from the table of options: an option's field, values and ranges are its key's.

The exceptions are few: `port` is the command line's parameter, `plugin` the field `plugins` (TOML wants the name
`plugins` for the tables `[plugins.NAME]`), `hook_seconds` may have a fraction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

from dcmrecv_core.config.options.option import (
    LARGEST_INTEGER,
    LARGEST_SIZE,
    Option,
    Value,
    scan_network,
    scan_size,
    size_text,
)
from dcmrecv_core.config.options.table import OPTIONS, PORT
from dcmrecv_core.config.toml_place import Place
from dcmrecv_core.settings import uids
from dcmrecv_core.settings.settings import Settings

PLUGIN_LIST = "plugin"
PLUGINS_DIR = "plugins_dir"
PLUGIN_TABLES = "plugins"
CONTEXTS = "contexts"

_NOT_IN_A_FILE = ("settings_file",)
_OTHER_NAMES = {"plugins": PLUGIN_LIST}  # keys that are not called like their fields of Settings

Check = Callable[[Any], bool]
Items = tuple[str, Callable[[Any], "str | None"]]
"""What the strings of an array are, in words, and what reads one of them: None if it is none."""


def key_of(field: str) -> str:
    """What a settings file calls a field of Settings."""
    return _OTHER_NAMES.get(field, field)


@dataclass(frozen=True, slots=True)
class Key:
    """A flat key: its name in the file, the field of Settings, what is allowed in words, and the options it stands for.

    `choices` are all the values of a key that has a closed set of them.
    """

    name: str
    field: str
    allowed: str
    accepts: Check
    options: tuple[Option, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def secret(self) -> bool:
        """Whether its value is never shown; a file may say where it is instead."""
        return any(option.secret for option in self.options)

    def read(self, place: Place, value: Any) -> Any:
        """The value for Settings. Raises ConfigurationError."""
        if not self.accepts(value):
            if self.secret:
                place.fail(f"{self.allowed} expected")
            place.refuse(value, self.allowed, self.choices)
        if isinstance(value, list):
            return tuple(map(self.items[1], value) if self.items else value)
        if isinstance(value, str) and self.is_size:
            value = scan_size(value)
        if self.zero_is_none and value == 0:
            return None
        return float(value) if self.field == "hook_seconds" else value

    def written(self, value: Any) -> Any:
        """How a file says the value of the field; None if it says nothing then."""
        if self.items is _SYNTAXES:
            return [uids.name_of(uid) or uid for uid in value]
        return 0 if value is None and self.zero_is_none else value

    @property
    def zero_is_none(self) -> bool:
        """Whether 0 stands for no limit."""
        return any(value.zero_is_none for option in self.options for value in option.values)

    @property
    def items(self) -> Items | None:
        """What its array lists, if that is checked; a file may say transfer syntaxes by name."""
        return next((items for option in self.options if (items := _items_of(option))), None)

    @property
    def is_size(self) -> bool:
        """Whether it is a number of bytes, which a file may say in units too."""
        return any(option.values and option.values[0].kind == "size" for option in self.options)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def _uid(value: Any) -> str | None:
    """The UID of a transfer syntax."""
    return uids.find_syntax(value, transfer=True) if isinstance(value, str) else None


def _network(value: Any) -> str | None:
    return scan_network(value) if isinstance(value, str) else None


_SYNTAXES: Items = ("names or UIDs of transfer syntaxes", _uid)
_NETWORKS: Items = ("IP addresses or networks", _network)


def _items_of(option: Option) -> Items | None:
    kind = option.values[0].kind if option.values else ""
    return {"transfer-syntax": _SYNTAXES, "network": _NETWORKS}.get(kind)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and 1 <= value <= LARGEST_INTEGER


def _one_of(choices: Iterable[str]) -> tuple[str, Check, tuple[str, ...]]:
    names = tuple(dict.fromkeys(choices))
    return f"one of {', '.join(names)}", lambda value: isinstance(value, str) and value in names, names


def _of_value(value: Value) -> tuple[str, Check, tuple[str, ...]]:
    if value.names:
        return _one_of(value.names)
    if value.kind == "string":
        return "a string", _is_text, ()
    minimum = 0 if value.minimum is None else value.minimum
    if value.kind == "size":
        return _size_from(minimum, value.maximum)
    maximum = LARGEST_INTEGER if value.maximum is None else value.maximum
    return value.allowed, lambda number: type(number) is int and minimum <= number <= maximum, ()


def _size_from(minimum: int, maximum: int | None) -> tuple[str, Check, tuple[str, ...]]:
    def accepts(given: Any) -> bool:
        size = scan_size(given) if isinstance(given, str) else given
        return type(size) is int and minimum <= size <= (maximum or LARGEST_SIZE)

    to = f" to {size_text(maximum)}" if maximum else ""
    return f'bytes, or a string like "500M", from {size_text(minimum)}{to}', accepts, ()


def _of_options(name: str, options: tuple[Option, ...]) -> tuple[str, Check, tuple[str, ...]]:
    valued = next((option for option in options if option.key == name), None)
    if valued is None:
        values = [option.sets[name] for option in options]
        if all(isinstance(value, bool) for value in values):
            return "true or false", lambda value: isinstance(value, bool), ()
        return _one_of(values)
    if items := _items_of(valued):
        words, read = items
        return f"an array of {words}", lambda given: isinstance(given, list) and all(map(read, given)), ()
    if valued.repeatable:
        return "an array of strings", lambda items: isinstance(items, list) and all(map(_is_text, items)), ()
    if valued.secret:
        return 'a string, { env = "NAME" } or { file = "PATH" }', _is_text, ()
    if len(valued.values) == 1:
        return _of_value(valued.values[0])
    checks = [_of_value(value)[1] for value in valued.values]
    return (
        f"an array of {' and '.join(value.name for value in valued.values)}",
        lambda items: (
            isinstance(items, list)
            and len(items) == len(checks)
            and all(check(item) for check, item in zip(checks, items, strict=True))
        ),
        (),
    )


def _keys() -> dict[str, Key]:
    keys: dict[str, Key] = {}
    for field in fields(Settings):
        options = tuple(option for option in OPTIONS if field.name == option.key or field.name in option.sets)
        if field.name == "port":
            kind = _of_value(PORT)
        elif field.name == "hook_seconds":
            kind = "a number of seconds from 1", _is_number, ()
        elif not options or field.name in _NOT_IN_A_FILE:
            continue
        else:
            kind = _of_options(field.name, options)
        allowed, accepts, choices = kind
        name = key_of(field.name)
        keys[name] = Key(name, field.name, allowed, accepts, options, choices)
    return keys


KEYS: dict[str, Key] = _keys()
"""Every flat key by its name in the file, in the order of the fields of Settings."""
