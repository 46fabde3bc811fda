"""`[plugins.NAME.KEY]`, `[[plugins.NAME.KEY]]`: tables that a plugin has declared, as values of its dataclass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from dcmrecv_core.api.errors import described
from dcmrecv_core.api.option_tables import Table, TableField
from dcmrecv_core.api.options import Given, PluginOption
from dcmrecv_core.config.toml_place import Place
from dcmrecv_core.hooks.places import place_of, reason_of

Fetch = Callable[[Place, dict[str, Any]], str]
"""The secret to which a table like `{ env = "NAME" }` refers. Raises ConfigurationError."""


def header(option: PluginOption) -> str:
    """The line of a settings file that begins such a table."""
    key = (Place("") / "plugins" / option.plugin / option.key).key
    return f"[[{key}]]" if option.table is not None and option.table.many else f"[{key}]"


def read(place: Place, option: PluginOption, table: Table, value: object, fetch: Fetch) -> Given:
    """The value that a settings file gives for `option`. Raises ConfigurationError."""
    if not table.many:
        made, may_show = _read_one(place, option, table, value, fetch)
    elif not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        _refuse(place, table, value, f"an array of tables ({header(option)})")
    else:
        read = [_read_one(place.item(number), option, table, each, fetch) for number, each in enumerate(value, 1)]
        made, may_show = [each for each, _ in read], all(shows for _, shows in read)
    return Given(made, value if may_show else None)


def _read_one(place: Place, option: PluginOption, table: Table, value: object, fetch: Fetch) -> tuple[Any, bool]:
    """The object made of one table, and whether all of the table may be shown."""
    if not isinstance(value, dict):
        _refuse(place, table, value, f"a table ({header(option)})")
    place.check_keys(value, [each.name for each in table.fields])
    may_show = True
    values = {}
    for each in table.fields:
        if each.name not in value:
            if each.required:
                (place / each.name).fail(f"is missing: {each.allowed} expected")
            continue
        given = value[each.name]
        if each.secret and isinstance(given, dict):
            given = fetch(place / each.name, given)
        elif each.secret:
            may_show = False
        values[each.name] = _convert(place / each.name, each, given)
    try:
        return table.make(**values), may_show
    except Exception as error:  # the plugin's own check, which may quote what must not be shown
        if table.has_secret:
            place.fail("refused by the plugin")
        if isinstance(error, ValueError):
            place.fail(f"refused by the plugin: {described(error)}")
        line = place_of(error, None)
        place.fail(f"refused by the plugin: {reason_of(error, line)}" + f" ({line})" * bool(line))


def _convert(place: Place, field: TableField, value: object) -> Any:
    try:
        return field.convert(value)
    except TypeError:
        if field.secret:
            place.fail(f'{field.allowed}, {{ env = "NAME" }} or {{ file = "PATH" }} expected')
        place.refuse(value, field.allowed, field.choices)


def _refuse(place: Place, table: Table, value: object, allowed: str) -> NoReturn:
    if table.has_secret:
        place.fail(f"{allowed} expected")
    place.refuse(value, allowed)
