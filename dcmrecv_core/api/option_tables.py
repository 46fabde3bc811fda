"""Tables that plugins declare as options: `options.add("--peers", table=Peer, many=True)`.

A table is checked against a dataclass, so its fields have the kinds that TOML has: str, int, float, bool, Path,
Literal["a", "b"], lists and tuples of these, `dict[str, ...]` of all these (a table with any keys), unions such as
`str | list[str]`, each also `| None`. A field with a default may be left out; the value of one with
`field(metadata={"secret": True})` is never shown.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_Kind = tuple[str, Callable[[Any], Any], tuple[str, ...]]
"""What is allowed, in words; the conversion, which raises TypeError for anything else; the choices."""

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


def _kind(hint: Any) -> _Kind:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _one_of([_kind(argument) for argument in arguments if argument is not NoneType])
    elif origin is Literal and all(isinstance(argument, str) for argument in arguments):
        return f"one of {', '.join(arguments)}", lambda value: _chosen(value, arguments), arguments
    elif (origin is list and len(arguments) == 1) or (origin is tuple and arguments[1:] == (...,)):
        allowed, convert, choices = _kind(arguments[0])
        if ", each " not in allowed:
            return f"an array, each item {allowed}", lambda value: origin(_items(value, convert)), choices
    elif origin is dict and arguments[0] is str:
        allowed, convert, choices = _kind(arguments[1])
        if not allowed.startswith("a table"):
            return f"a table, each value {allowed}", lambda value: _entries(value, convert), choices
    elif hint in _SCALARS:
        types, allowed = _SCALARS[hint]
        return allowed, lambda value: _scalar(value, types, hint), ()
    raise TypeError(f"a table cannot have {hint!r}")


def _one_of(kinds: list[_Kind]) -> _Kind:
    """Any of several; the first that takes a value converts it."""
    if len(kinds) == 1:
        return kinds[0]

    def convert(value: Any) -> Any:
        for _, attempt, _ in kinds:
            with suppress(TypeError):
                return attempt(value)
        raise TypeError

    choices = tuple(name for _, _, names in kinds for name in names)
    return " or ".join(allowed for allowed, _, _ in kinds), convert, choices


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


def _entries(value: Any, convert: Callable[[Any], Any]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return {name: convert(item) for name, item in value.items()}
