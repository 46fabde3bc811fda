"""Tables that plugins declare as options: `options.add("--peers", table=Peer, many=True)`.

A table is checked against a dataclass, so its fields have the kinds that TOML has: str, int, float, bool, Path,
Literal["a", "b"], lists and tuples of these, each also `| None`. A field with a default may be left out; the value of
one with `field(metadata={"secret": True})` is never shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_SCALARS: dict[Any, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "an integer"),
    float: ((int, float), "a number"),
    str: ((str,), "a string"),
    Path: ((str,), "a string"),
}


@dataclass(frozen=True, slots=True)
class TableField:
    """One key of a table: what is `allowed` in words, `choices` if only these are.

    `convert` makes the field's value of a TOML value, and raises TypeError for any other.
    """

    name: str
    allowed: str
    convert: Callable[[Any], Any]
    required: bool
    secret: bool
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """What an option takes: one table, or with `many` any number of them; `make` is called with the fields' values."""

    make: Callable[..., Any]
    fields: tuple[TableField, ...]
    many: bool

    @property
    def has_secret(self) -> bool:
        """Whether a value in it must not be shown."""
        return any(each.secret for each in self.fields)


def table_of(cls: type[Any], many: bool) -> Table:
    """The table that the dataclass `cls` describes. Raises TypeError if TOML cannot have one of its fields."""
    if not (isinstance(cls, type) and is_dataclass(cls)):
        raise TypeError(f"a dataclass expected, not {cls!r}")
    hints = get_type_hints(cls)
    found = []
    for each in fields(cls):
        if not each.init:
            continue
        try:
            allowed, convert, choices = _kind(hints[each.name])
        except TypeError as error:
            raise TypeError(f"{cls.__name__}.{each.name}: {error}") from error
        required = each.default is MISSING and each.default_factory is MISSING
        secret = bool(each.metadata.get("secret"))
        if secret and allowed != "a string":
            raise TypeError(f"{cls.__name__}.{each.name}: only a str can be secret")
        found.append(TableField(each.name, allowed, convert, required, secret, choices))
    return Table(cls, tuple(found), many)


def _kind(hint: Any) -> tuple[str, Callable[[Any], Any], tuple[str, ...]]:
    """What is allowed for a type, in words, its conversion, and its choices."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        others = [argument for argument in arguments if argument is not NoneType]
        if len(others) == 1:
            return _kind(others[0])
    elif origin is Literal and all(isinstance(argument, str) for argument in arguments):
        return f"one of {', '.join(arguments)}", lambda value: _chosen(value, arguments), arguments
    elif (origin is list and len(arguments) == 1) or (origin is tuple and arguments[1:] == (...,)):
        allowed, convert, choices = _kind(arguments[0])
        if not allowed.startswith("an array"):
            return f"an array, each item {allowed}", lambda value: origin(_items(value, convert)), choices
    elif hint in _SCALARS:
        types, allowed = _SCALARS[hint]
        return allowed, lambda value: _scalar(value, types, hint), ()
    raise TypeError(f"a table cannot have {hint!r}")


def _chosen(value: Any, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise TypeError
    return value


def _scalar(value: Any, types: tuple[type, ...], kind: Callable[[Any], Any]) -> Any:
    if type(value) not in types or (isinstance(value, str) and "\0" in value):
        raise TypeError
    return kind(value)


def _items(value: Any, convert: Callable[[Any], Any]) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return [convert(item) for item in value]
