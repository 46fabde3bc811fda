"""`dcmrecvctl check -- ARGUMENTS OF dcmrecv`: would a receiver start with them, and go on for long? It takes the steps
of a start, opens no port for senders, and leaves nothing there."""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dcmrecv_core.api.errors import HookFailure, PluginError, StartError
from dcmrecv_core.config.configuration import Configuration
from dcmrecv_core.ctl.checking.findings import Finding, Findings
from dcmrecv_core.ctl.checking.surroundings import look_around, output_directory_of
from dcmrecv_core.ctl.receiver import Write
from dcmrecv_core.delivery import preparation
from dcmrecv_core.logs.setup import LogWiring
from dcmrecv_core.net.supervisor.listener import bind
from dcmrecv_core.net.supervisor.ownership import StateDirectory
from dcmrecv_core.start import Start

if TYPE_CHECKING:
    from dcmrecv_core.settings.settings import Settings


def add_commands(commands: Any, which: argparse.ArgumentParser) -> None:
    """Declare `check`; `which` has the options that all commands have."""
    text = "check the command line of a receiver, and all that it names, without starting it"
    added = commands.add_parser(
        "check",
        parents=[which],
        help=text,
        description=f"{text.capitalize()}.",
        usage="%(prog)s [--settings FILE] [--json] -- ARGUMENTS",
    )
    added.add_argument("--json", action="store_true", help="as JSON")
    added.set_defaults(run_alone=run)


def run(arguments: argparse.Namespace, write: Write) -> int:
    """The exit code: 1 if the receiver would not start, or no sender could store."""
    given: Sequence[str] = arguments.after
    if "settings" in arguments:
        given = ["--settings", arguments.settings, *given]
    found = check(given, datetime.now(UTC))
    errors = sum(each.level == "error" for each in found)
    counts = {"errors": errors, "warnings": len(found) - errors}
    if arguments.json:
        write(json.dumps({**counts, "findings": [asdict(each) for each in found]}, indent=2) + "\n")
    else:
        for each in found:
            write(f"{each}\n")
        write(f"errors: {errors}, warnings: {counts['warnings']}\n")
    return 1 if errors else 0


def check(arguments: Sequence[str], now: datetime) -> list[Finding]:
    """What is wrong with these arguments of `dcmrecv`, in the order of a start."""
    findings = Findings()
    with findings.step():
        configuration = Configuration("dcmrecv", arguments, port_optional=True)
        if configuration.line.action != "run":
            raise StartError(f"these arguments start no receiver, but ask for {configuration.line.action}")
        _check(configuration, findings, now)
    return findings.all


def _check(configuration: Configuration, findings: Findings, now: datetime) -> None:
    settings = configuration.line.settings
    with findings.step():
        _try_logging(settings)
    state = StateDirectory.take(settings, timeout=0)
    state.release()
    runs = bool(state.owner) and f", port {settings.port}, " in state.owner
    if runs:
        findings.warning(
            f"the receiver of this state directory and port runs ({state.owner})",
            "end it before the next one starts, or let it take the new settings by 'dcmrecvctl reload'",
        )
    if runs or not os.path.isdir(output_directory_of(settings)):
        state = StateDirectory()  # nothing more to say of it
    start = _DryStart(configuration, state)
    for step in start.steps:
        with findings.step():
            step()
    with findings.step():
        start.start_worker()
    if settings.port is None:
        findings.warning("no port is given", "start it with a socket of systemd, as 'dcmrecvctl unit' shows")
    elif not runs:
        with findings.step():
            bind(settings).close()
    look_around(start.settings, findings, now)


def _try_logging(settings: Settings) -> None:
    """As the options say, then to nowhere: the caller collects what is logged."""
    wiring = LogWiring()
    try:
        wiring.apply(settings)
    finally:
        plain = replace(settings, log_level="warn", log_config=None, log_format="text")
        wiring.apply(replace(plain, verbose_pc=False, trace_hooks=False))
        logging.getLogger().handlers.clear()


class _DryStart(Start):
    """Makes nothing that stays, and goes as far as a worker does before its first association."""

    def prepare_deliveries(self) -> None:
        if self.plugins.delivering(self.settings):
            preparation.check(self.settings)
            preparation.queues_of(self.plugins, self.settings)

    def start_worker(self) -> None:
        """Raises StartError if a plugin's `worker_started` fails: then no worker could serve."""
        try:
            self.plugins.worker_started(self.settings)
        except HookFailure as failure:
            raise PluginError(
                f"{failure.text}, so no worker could start", plugin=failure.plugin, hook=failure.hook
            ) from failure
        self.plugins.worker_stopping()
