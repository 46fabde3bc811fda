"""`--dump-settings`: effective settings as a file for `--settings`, so that a command line turns into one file.

The association profile of `-xf` becomes `[[contexts]]`: the file stands on its own. Secrets are not in it: only where
they are, or a comment for one that was given literally.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import tomli_w

from dcmrecv_core.api.errors import ConfigurationError, StartError
from dcmrecv_core.config import context_tables
from dcmrecv_core.config.association_profiles import load_profile
from dcmrecv_core.config.settings_keys import CONTEXTS, KEYS, PLUGIN_TABLES
from dcmrecv_core.config.toml_place import Place
from dcmrecv_core.hooks.plugins import Plugins
from dcmrecv_core.logs.setup import read_config

if TYPE_CHECKING:
    from dcmrecv_core.api.options import Given, PluginOption, PluginOptionRegistry
    from dcmrecv_core.config.commandline import CommandLine
    from dcmrecv_core.settings.settings import Settings


def effective(settings: Settings) -> Settings:
    """The same with the association profile resolved. Raises ConfigurationError if it cannot be used."""
    if settings.config_file is None:
        return settings
    profile = load_profile(*settings.config_file)
    return replace(settings, config_file=None, contexts=settings.contexts + profile)


def check(settings: Settings) -> None:
    """Refuse settings that a start would refuse; of the plugins only the built-in ones are asked.

    Raises CommandLineError for a log configuration, PluginError for a layout and ConfigurationError for a profile that
    cannot be used.
    """
    if settings.log_config is not None:
        read_config(settings.log_config)
    built_in = Plugins()
    built_in.add_builtins(settings)
    built_in.configure(settings)


def dump(line: CommandLine, declared: PluginOptionRegistry) -> str:
    """The settings of a command line as TOML. Raises ConfigurationError for a profile that cannot be used, and for a
    path that is not UTF-8, which TOML cannot say."""
    settings = effective(line.settings)
    flat = {name: key.written(getattr(settings, key.field)) for name, key in KEYS.items()}
    secrets = [name for name, value in flat.items() if KEYS[name].secret and value]
    parts = [tomli_w.dumps({name: value for name, value in flat.items() if value is not None and name not in secrets})]
    parts[0] += "".join(map(_hidden, secrets))
    parts += [f"[[{CONTEXTS}]]\n{tomli_w.dumps(table)}" for table in context_tables.tables(settings.contexts)]
    by_plugin: dict[str, list[PluginOption]] = {}
    for option in declared:
        by_plugin.setdefault(option.plugin, []).append(option)
    parts += [_plugin_part(plugin, options, line.given.get(plugin, {})) for plugin, options in by_plugin.items()]
    text = "\n".join(part for part in parts if part)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        around = text[max(0, error.start - 40) : error.end]
        raise ConfigurationError(f"settings cannot be written as TOML, they are not UTF-8: {around!r}") from error
    return text


def _plugin_part(plugin: str, options: list[PluginOption], given: Mapping[str, Given]) -> str:
    comments, table = [], {}
    for option in options:
        shown = given[option.key].shown if option.key in given else _default(option)
        if shown is not None:
            table[option.key] = shown
        elif option.key in given:
            comments.append(_hidden((Place("") / PLUGIN_TABLES / plugin / option.key).key))
    return "".join(comments) + (tomli_w.dumps({PLUGIN_TABLES: {plugin: table}}) if table else "")


def _hidden(key: str) -> str:
    return f'# {key} is secret: write {{ env = "NAME" }} or {{ file = "PATH" }}\n'


def _default(option: PluginOption) -> Any:
    """The default of an option, if a file can say it so that it reads back the same."""
    default = option.default
    shown = str(default) if isinstance(default, PurePath) else default
    if option.secret or option.table is not None or not isinstance(shown, bool | int | float | str | list):
        return None
    try:
        read = option.from_toml(shown)
    except (TypeError, StartError):
        return None
    return shown if type(read) is type(default) and read == default else None
