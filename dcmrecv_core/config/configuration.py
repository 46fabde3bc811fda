"""What the user asked for: the command line and its settings file, which can be read again."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dcmrecv_core.api.errors import StartError
from dcmrecv_core.api.options import PluginOptionRegistry
from dcmrecv_core.config import commandline
from dcmrecv_core.config.options.table import BY_NAME
from dcmrecv_core.hooks import code
from dcmrecv_core.hooks.plugins import Plugins, load_directories, load_named

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
        if commandline.reloads_plugins(self._tokens) or (file and file.values.get("reload_plugins")):
            # a .pyc says only by second and size which source it is of: two changes within a second would be one
            sys.dont_write_bytecode = True
        self.plugins = Plugins()
        self._load_plugins(file)
        self.line = self._parse(file)

    def read(self) -> CommandLine:
        """The same command line as its files are now. Raises as the first reading did."""
        return self._parse(self._read_file())

    def _load_plugins(self, file: SettingsFile | None) -> None:
        """Plugins directories first, so that those that are named are asked before what is in them."""
        directories, names = commandline.find_directories(self._tokens), commandline.find_plugins(self._tokens)
        if file is not None:
            file.load_directories(directories, self.plugins)
        load_directories(directories, self.plugins)
        if file is not None:
            file.load_plugins(names, self.plugins)
        load_named(names, self.plugins)
        self.options = PluginOptionRegistry(taken=BY_NAME)
        self.plugins.add_options(self.options)

    def load_anew(self) -> Callable[[], None]:
        """Load the plugins again, from their files as they are now. Returns what brings those before back.

        Raises as the first reading did; then all is as before.
        """
        options, taken = self.options, self.plugins.take_out()
        named = [registered.found for registered in taken if registered.named]
        modules = code.forget_modules(named)

        def restore() -> None:
            now = [registered.found for registered in self.plugins.registered if registered.named]
            code.remember_modules([*named, *now], modules)
            self.plugins.put_back(taken)
            self.options = options

        try:
            self._load_plugins(self._read_file())
        except StartError:
            restore()
            raise
        return restore

    def watch(self, directories: Iterable[str]) -> code.Watch:
        """The files of the plugins, and those in plugins `directories`."""
        return code.Watch(
            lambda: [registered.found for registered in self.plugins.registered if registered.named],
            [os.path.join(self._directory, directory) for directory in directories],
        )

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
