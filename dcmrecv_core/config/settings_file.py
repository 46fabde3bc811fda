"""Reading a settings file: `--settings FILE.toml`.

Flat keys (`settings_keys.py`), `[[contexts]]` (`context_tables.py`) and `[plugins.NAME]` tables, which are checked
against the options that the plugins declared. Every error is a ConfigurationError that names file, key path, value and
what is allowed. Relative paths in it mean the working directory, as on the command line.
"""

from __future__ import annotations

import codecs
import os
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dcmrecv_core.api.errors import CommandLineError, ConfigurationError, PluginError
from dcmrecv_core.api.options import Given, PluginOption, PluginOptionRegistry
from dcmrecv_core.config import context_tables, plugin_tables
from dcmrecv_core.config.settings_keys import CONTEXTS, KEYS, PLUGIN_LIST, PLUGIN_TABLES, PLUGINS_DIR
from dcmrecv_core.config.toml_place import Place
from dcmrecv_core.hooks.loader import entry_points
from dcmrecv_core.hooks.places import add_place
from dcmrecv_core.hooks.plugins import Plugins, load_directories, load_named


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """What a file says: `values` by field of Settings; plugins' tables, not checked before the plugins are loaded."""

    place: Place
    values: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def load_directories(self, given: Collection[str], plugins: Plugins) -> None:
        """Load what is in the plugins directories that it names, without those `given` on the command line. Raises
        ConfigurationError."""
        self._load(load_directories, PLUGINS_DIR, given, plugins)

    def load_plugins(self, given: Collection[str], plugins: Plugins) -> None:
        """Load the plugins that it names, without those `given` on the command line. Raises ConfigurationError."""
        self._load(load_named, PLUGIN_LIST, given, plugins)

    def _load(
        self, load: Callable[[Iterable[str], Plugins], Plugins], key: str, given: Collection[str], plugins: Plugins
    ) -> None:
        try:
            load([each for each in self.values.get(KEYS[key].field, ()) if each not in given], plugins)
        except PluginError as error:
            raise ConfigurationError(f"{self.place.file}: {key}: {error}") from error

    def plugin_values(self, declared: PluginOptionRegistry, loaded: Collection[str]) -> dict[str, dict[str, Given]]:
        """The values in the tables by plugin and key; `loaded` are the names of all plugins. Secrets are fetched.

        Raises ConfigurationError.
        """
        place = self.place / PLUGIN_TABLES
        for name in self.tables:
            if name not in loaded and name in {entry.name for entry in entry_points()}:
                (place / name).fail(f'the plugin is installed, but not loaded: add it to {PLUGIN_LIST} = ["{name}"]')
        place.check_keys(self.tables, loaded, "plugin is loaded")
        return {name: _plugin_table(place / name, name, table, declared) for name, table in self.tables.items()}


def read(path: str) -> SettingsFile:
    """Read and check a file, except for its plugins' tables. Raises ConfigurationError."""
    place = Place(path)
    try:
        with open(path, "rb") as file:
            text = _text(place, file.read())
        document = tomllib.loads(text)
    except OSError as error:
        place.fail(f"cannot be read: {error.strerror}")
    except (ValueError, RecursionError) as error:  # ValueError: not TOML, a NUL in the path
        place.fail(f"is not TOML: {error}")
    tables = document.pop(PLUGIN_TABLES, {})
    if not isinstance(tables, dict):
        (place / PLUGIN_TABLES).refuse(tables, f"tables [plugins.NAME] (the plugins to load: {PLUGIN_LIST} = [...])")
    place.check_keys(document, [*KEYS, CONTEXTS, PLUGIN_TABLES])
    values: dict[str, Any] = {}
    for name, value in document.items():
        if name == CONTEXTS:
            values[CONTEXTS] = context_tables.read(place / name, value)
        else:
            key = KEYS[name]
            secret = _fetch(place / name, value) if key.secret and isinstance(value, dict) else value
            values[key.field] = key.read(place / name, secret)
    return SettingsFile(place, values, tables)


def _text(place: Place, content: bytes) -> str:
    """UTF-8, as TOML is; a byte order mark, which editors of Windows put first, is left out."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        place.fail("is UTF-16, UTF-32 or no text: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        place.fail(f"is not UTF-8 (byte {error.object[error.start]:02X} in line {line}): save it as UTF-8")


def _plugin_table(place: Place, plugin: str, table: object, declared: PluginOptionRegistry) -> dict[str, Given]:
    if not isinstance(table, dict):
        place.refuse(table, "a table")
    options = {option.key: option for option in declared if option.plugin == plugin}
    place.check_keys(table, options, f"option of plugin {plugin}")
    return {key: _given(place / key, options[key], value) for key, value in table.items()}


def _given(place: Place, option: PluginOption, value: Any) -> Given:
    if option.table is not None:
        return plugin_tables.read(place, option, option.table, value, _fetch)
    reference = value if option.secret and isinstance(value, dict) else None
    if reference is not None:
        value = _fetch(place, reference)
    try:
        converted = option.from_toml(value)
    except TypeError:
        if option.secret:
            place.fail(f'{option.allowed}, {{ env = "NAME" }} or {{ file = "PATH" }} expected')
        place.refuse(value, option.allowed)
    except (CommandLineError, PluginError) as error:
        if option.secret:
            place.fail(f"the value is refused by the plugin (option {option.long})")
        if isinstance(error, PluginError):
            add_place(error)
        raise ConfigurationError(f"{place.file}: {place.key} = {value!r}: {error}") from error
    return Given(converted, reference if option.secret else value)


def _fetch(place: Place, reference: dict[str, Any]) -> str:
    """The secret itself: from an environment variable, or a file without the line feed at its end."""
    match reference:
        case {"env": str(name), **rest} if not rest:
            secret = os.environ.get(name)
            if secret is None:
                place.fail(f"there is no environment variable {name}")
            return secret
        case {"file": str(path), **rest} if not rest:
            try:
                with open(path, encoding="utf-8-sig") as file:
                    return file.read().removesuffix("\n")
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else "is not text in UTF-8"
                place.fail(f"{path} cannot be read: {reason}")
    place.fail('a string, { env = "NAME" } or { file = "PATH" } expected')
