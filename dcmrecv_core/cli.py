"""The program: argv -> plugins -> settings -> supervisor, and the exit code.

Checked in DCMTK's order: command line (1), association profile (66), output directory (45), TLS (71), port (64).
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from dcmrecv_core import process
from dcmrecv_core.api.errors import HookFailure, PluginError, StartError
from dcmrecv_core.config import help
from dcmrecv_core.config.association_profiles import AssociationConfigurationError
from dcmrecv_core.config.configuration import Configuration
from dcmrecv_core.logs.setup import LogWiring
from dcmrecv_core.net.supervisor.listener import inherited_count, open_listeners
from dcmrecv_core.net.upgrade.predecessor import Predecessor
from dcmrecv_core.net.upgrade.program import Program
from dcmrecv_core.start import Start, probe_output_directory

if TYPE_CHECKING:
    from dcmrecv_core.config.commandline import CommandLine
    from dcmrecv_core.hooks.plugins import Plugins
    from dcmrecv_core.hooks.tracing import Call
    from dcmrecv_core.net.supervisor.ownership import StateDirectory
    from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("dcmrecv")
net_log = logging.getLogger("dcmrecv.net")  # profiles are read by dcmnet in DCMTK


def main(argv: list[str] | None = None) -> int:
    """Run `dcmrecv` with `argv` and return its exit code. Without `argv` it runs as the program: with sys.argv, in a
    process of its own."""
    if os.name != "posix":
        sys.stderr.write("dcmrecv needs a POSIX system (fork, socket pairs): Linux, a BSD or macOS\n")
        return 1
    if argv is not None:
        return _main("dcmrecv", argv)
    program, predecessor = Program.of_this_process(), Predecessor.of_this_process()
    process.prepare()
    code = _main(sys.argv[0], sys.argv[1:], program, predecessor)
    process.end_despite_threads(code)
    return code


def _main(
    name: str, arguments: list[str], program: Program | None = None, predecessor: Predecessor | None = None
) -> int:
    try:
        configuration = Configuration(name, arguments, port_optional=bool(inherited_count()))
        plugins, line = configuration.plugins, configuration.line
        if line.action not in ("run", "explain"):
            _print(_text(configuration))
            return 0
        log_wiring = LogWiring()
        log_wiring.apply(line.settings)
    except StartError as error:
        process.write_error(help.error_text(error))
        return _failed(error, predecessor)
    process.write_error(line.arguments)
    try:
        if line.action == "explain":
            return _explain(line, plugins)
        return _run(configuration, log_wiring, program, predecessor)
    except StartError as error:
        _log_start_error(error)
        return _failed(error, predecessor)


def _failed(error: StartError, predecessor: Predecessor | None) -> int:
    """The exit code; a program that this one is to replace goes on."""
    if predecessor is not None:
        predecessor.fail(str(error))
    return error.exit_code


def _print(text: str) -> bool:
    """False if the reader has seen enough. Raises StartError if the text cannot be written."""
    try:
        return process.write_out(text)
    except OSError as error:
        raise StartError(f"cannot write to standard output: {error.strerror}") from error


def _text(configuration: Configuration) -> str:
    """What an action that only prints has to print. Raises StartError."""
    line = configuration.line
    if line.action == "help":
        return help.help_text(configuration.options)
    if line.action == "version":
        return help.version_text()
    if line.action == "list-ciphers":
        return help.ciphers_text()
    if line.new_plugin is not None:
        from dcmrecv_core.hooks import new_plugin as plugin_kit

        return plugin_kit.create(*line.new_plugin)
    if line.action == "list-plugins":
        return _list_plugins(configuration)
    from dcmrecv_core.config.settings_dump import check, dump

    check(line.settings)
    return dump(line, configuration.options)


def _list_plugins(configuration: Configuration) -> str:
    from dcmrecv_core.inspection import list_plugins as plugin_list

    line, plugins = configuration.line, configuration.plugins
    plugins.add_builtins(line.settings)
    show = plugin_list.as_json if line.json else plugin_list.as_text
    return show(line.settings, plugins, configuration.options)


def _explain(line: CommandLine, plugins: Plugins) -> int:
    from dcmrecv_core.inspection.explain import explain
    from dcmrecv_core.storage.directories import check_output_directory

    settings = line.settings
    calls: list[Call] = []
    plugins.add_builtins(settings, calls.append)
    plugins.configure(settings)
    check_output_directory(settings.working_directory, settings.output_directory)
    code = 0
    explanations = explain(settings, plugins, calls, line.files, sender=line.sender, as_json=line.json)
    try:
        with closing(explanations):
            for text, explained in explanations:
                if not explained:
                    code = 1
                if not _print(text):
                    break
    except HookFailure as failure:
        reason = f"{failure.text}, so no worker could start"
        raise PluginError(reason, plugin=failure.plugin, hook=failure.hook) from failure
    return code


def _run(
    configuration: Configuration,
    log_wiring: LogWiring,
    program: Program | None,
    predecessor: Predecessor | None,
) -> int:
    log.debug("%s\n", help.VERSION_LINE)
    log.info("configuring service class provider ...")
    from dcmrecv_core.net.supervisor.ownership import StateDirectory

    settings = configuration.line.settings
    if predecessor is not None and predecessor.processes is not None:
        state = StateDirectory.inherit(settings, predecessor.processes)
    else:
        state = StateDirectory.take(settings)
    try:
        return _serve(configuration, log_wiring, state, program, predecessor)
    finally:
        state.release()


def _serve(
    configuration: Configuration,
    log_wiring: LogWiring,
    state: StateDirectory,
    program: Program | None,
    predecessor: Predecessor | None,
) -> int:
    start = Start(configuration, state)
    for step in start.steps:
        step()
    settings = start.settings
    state.hash_uids(settings)
    listeners = open_listeners(settings, predecessor)
    if settings.max_pdu & 1:
        even = settings.max_pdu & ~1
        log.warning("ASSOC: PDV receive length %d is odd (using %d)", settings.max_pdu, even)
    from dcmrecv_core.config.settings_keys import key_of
    from dcmrecv_core.net.supervisor.reload import SettingsSource
    from dcmrecv_core.net.supervisor.supervisor import Supervisor

    def apply_logging(settings: Settings) -> None:
        log_wiring.apply(settings)
        state.hash_uids(settings)

    source = SettingsSource(
        lambda: state.apply(configuration.read().settings),
        probe_output_directory,
        start.contexts.make,
        key_of,
        apply_logging,
        configuration.load_anew,
        configuration.watch(settings.plugins_dir),
    )
    return Supervisor(
        settings, start.plugins, listeners, start.capabilities, source, start.tls, state, program, predecessor
    ).run()


def _log_start_error(error: StartError) -> None:
    if isinstance(error, AssociationConfigurationError):
        for level, text in error.lines:
            (log if level == logging.CRITICAL else net_log).log(level, "%s", text)
    else:
        for text in str(error).splitlines():  # the error of a layout shows the place in further lines
            log.critical("%s", text)
