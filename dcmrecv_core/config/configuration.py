"""What the user asked for: the command line and its settings file, which can be read again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dcmrecv_core.api.options import PluginOptionRegistry
from dcmrecv_core.config import commandline
from dcmrecv_core.config.options.table import BY_NAME
from dcmrecv_core.hooks.plugins import load_named

if TYPE_CHECKING:
    from dcmrecv_core.api.options import Given
    from dcmrecv_core.config.commandline import CommandLine
    from dcmrecv_core.config.settings_file import SettingsFile


class Configuration:
    """Reads a command line and what it names: files and plugins. Plugins are loaded once; `read` reads the rest again.

    `line` is the first reading. Raises CommandLineError, PluginError, ConfigurationError.
    """

    def __init__(self, program: str, arguments: Iterable[str], *, port_optional: bool) -> None:
        self._directory = _working_directory()  # before any plugin can change it
        self._program = program
        self._tokens = commandline.expand(arguments)
        self._port_optional = port_optional
        file = self._read_file()
        given = commandline.find_plugins(self._tokens)
        self.plugins = load_named(given, file.load_plugins(given) if file else None)
        self.options = PluginOptionRegistry(taken=BY_NAME)
        self.plugins.add_options(self.options)
        self.line = self._parse(file)

    def read(self) -> CommandLine:
        """The same command line as its files are now. Raises as the first reading did."""
        return self._parse(self._read_file())

    def _read_file(self) -> SettingsFile | None:
        path = commandline.find_settings(self._tokens)
        if path is None:
            return None
        from dcmrecv_core.config import settings_file  # most starts need no TOML

        return settings_file.read(path)

    def _parse(self, file: SettingsFile | None) -> CommandLine:
        values: Mapping[str, Any] = {}
        plugin_values: Mapping[str, Mapping[str, Given]] = {}
        if file is not None:
            values = file.values
            loaded = [registered.found.name for registered in self.plugins.registered if registered.named]
            plugin_values = file.plugin_values(self.options, loaded)
        line = commandline.parse(
            self._tokens,
            self.options,
            port_optional=self._port_optional,
            program=self._program,
            file_values=values,
            file_plugins=plugin_values,
        )
        return replace(line, settings=replace(line.settings, working_directory=self._directory))


def _working_directory() -> str:
    """Absolute; "" if it was removed: absolute directories can do without it."""
    try:
        return os.getcwd()
    except OSError:
        return ""
