"""The program: argv -> plugins -> settings -> supervisor, and the exit code.

Checked in dcmrecv's order: command line (1), association profile (66), output directory (45), port (64).
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from dcmrecv_core import commandline, help, logs, plugin_loader
from dcmrecv_core.asconfig import AssociationConfigurationError
from dcmrecv_core.errors import CommandLineError, OutputDirectoryError, PluginError, StartError, StatusError
from dcmrecv_core.net.listener import inherited_count, open_listeners
from dcmrecv_core.plugin_options import PluginOptionRegistry
from dcmrecv_core.plugins import Plugins, load_named

if TYPE_CHECKING:
    from dcmrecv_core.receive.temporary import Capabilities
    from dcmrecv_core.settings import Settings

log = logging.getLogger("dcmrecv")

_NO_CLOBBER_SCHEMES = ("unique", "short-unique", "system-time")


def main(argv: list[str] | None = None) -> int:
    """Run `dcmrecv` with `argv` (default: sys.argv) and return its exit code."""
    if os.name != "posix":
        sys.stderr.write("dcmrecv needs a POSIX system (fork, socket pairs): Linux, a BSD or macOS\n")
        return 1
    program, *arguments = sys.argv if argv is None else ["dcmrecv", *argv]
    try:
        tokens = commandline.expand(arguments)
        plugins = load_named(commandline.find_plugins(tokens))
        options = PluginOptionRegistry()
        plugins.add_options(options)
        line = commandline.parse(tokens, options, port_optional=bool(inherited_count()), program=program)
        if line.action == "help":
            sys.stdout.write(help.help_text(options))
            return 0
        if line.action == "version":
            sys.stdout.write(help.version_text())
            return 0
        if line.action == "list-plugins":
            sys.stdout.write(_plugin_list(plugins))
            return 0
        logs.setup(line.settings)
    except (CommandLineError, PluginError) as error:
        sys.stderr.write(help.error_text(error))
        return error.exit_code
    sys.stderr.write(line.arguments)
    try:
        return _run(line.settings, plugins)
    except StartError as error:
        _log_start_error(error)
        return error.exit_code


def _run(settings: Settings, plugins: Plugins) -> int:
    log.info("configuring service class provider ...")
    plugins.add_builtins(settings)
    plugins.configure(settings)
    _say_what_is_accepted(settings, plugins)
    capabilities = _check_output_directory(settings)
    listeners = open_listeners(settings)
    log.info("starting service class provider and listening ...")
    from dcmrecv_core.net.supervisor import Supervisor

    return Supervisor(settings, plugins, listeners, capabilities).run()


def _say_what_is_accepted(settings: Settings, plugins: Plugins) -> None:
    if settings.config_file or settings.promiscuous or plugins.implements("negotiate"):
        return
    if plugins.names_storage():
        log.info("no presentation contexts configured, but a storage plugin: accepting all storage SOP classes")
    else:
        log.warning("no configuration file specified, SCP will only support the Verification SOP Class")


def _check_output_directory(settings: Settings) -> Capabilities:
    """What the file system of the output directory can do; raises OutputDirectoryError (exit code 45)."""
    from dcmrecv_core.receive.directories import Directories
    from dcmrecv_core.receive.temporary import Capabilities

    directory = settings.output_directory or "."
    if not os.path.isdir(directory) or not os.access(directory, os.R_OK | os.X_OK):
        raise OutputDirectoryError("cannot specify output directory: Directory does not exist")
    if not os.access(directory, os.W_OK):
        raise OutputDirectoryError("cannot specify output directory: Directory is not writable")
    try:
        capabilities = Capabilities.probe(Directories(directory))
    except (OSError, StatusError) as error:
        raise OutputDirectoryError(f"cannot specify output directory: {error}") from error
    in_need = f"{settings.filenames} names" if settings.filenames in _NO_CLOBBER_SCHEMES else ""
    if settings.on_duplicate != "overwrite":
        in_need = f"--on-duplicate {settings.on_duplicate}"
    if in_need and not capabilities.noclobber:
        raise OutputDirectoryError(
            "cannot specify output directory: its file system cannot create names without overwriting, "
            f"which is needed for {in_need}"
        )
    return capabilities


def _plugin_list(plugins: Plugins) -> str:
    """`--list-plugins`: what is named, then what is installed and not active."""
    lines = [f"{entry.found.name}: {', '.join(entry.hooks)} ({entry.found.origin})" for entry in plugins.registered]
    active = {entry.found.name for entry in plugins.registered}
    lines += [
        f"{entry.name}: installed, not active (--plugin {entry.name})"
        for entry in plugin_loader.entry_points()
        if entry.name not in active
    ]
    return "".join(f"{line}\n" for line in lines or ["no plugins installed"])


def _log_start_error(error: StartError) -> None:
    if isinstance(error, AssociationConfigurationError):
        for level, text in error.lines:
            log.log(level, "%s", text)
    else:
        for text in str(error).splitlines():  # a pattern's error shows the place below it
            log.critical("%s", text)
