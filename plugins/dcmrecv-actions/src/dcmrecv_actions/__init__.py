"""Commands and URLs that dcmrecv calls for what it has stored: storescp's `--exec-on-reception` and more.

The hooks are here. The way of an event:

    fields             what is known of an instance, a series, a study
      commands         the words of a command, with placeholders for these fields
        scripts        placeholders in the script of a shell
      execution        a command executed with these fields
        running        one run of a program
    webhooks           the POST of a CloudEvent, which the core makes
"""

from __future__ import annotations

import logging
import shutil

from dcmrecv_actions.commands import Command, parse_command
from dcmrecv_actions.execution import execute
from dcmrecv_actions.fields import OF_INSTANCE, OF_SERIES, OF_STUDY, absolute, of_instance, of_study
from dcmrecv_actions.webhooks import Webhook
from dcmrecv_core import (
    PluginError,
    PluginOptions,
    PluginSettings,
    Series,
    StoredEvent,
    Study,
    cloud_event,
    cloud_event_source,
    hookimpl,
)

log = logging.getLogger("dcmrecv.actions")

_COMMANDS = {"--on-instance": OF_INSTANCE, "--on-series": OF_SERIES, "--on-study": OF_STUDY}
_URLS = ("--on-instance-url", "--on-study-url")
_OF_HOOKS = {
    "deliver": ("--on-instance", "--on-instance-url"),
    "series_completed": ("--on-series",),
    "study_completed": ("--on-study", "--on-study-url"),
}


class ActionsPlugin:
    """Executes the commands and calls the URLs of the settings.

    Each target is named after its option and not after the command: a changed command goes on with what waits for the
    old one.
    """

    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}
        self._webhooks: dict[str, Webhook] = {}
        self._source = ""

    @hookimpl
    def add_options(self, options: PluginOptions) -> None:
        options.add("--on-instance", value="command", help="execute this command for each stored instance")
        options.add("--on-series", value="command", help="execute this command for each complete series")
        options.add("--on-study", value="command", help="execute this command for each complete study")
        options.add("--on-instance-url", value="url", secret=True, help="POST each stored instance to this URL")
        options.add("--on-study-url", value="url", secret=True, help="POST each complete study to this URL")

    @hookimpl
    def configure(self, settings: PluginSettings) -> None:
        """Read commands and URLs; delivery processes are forked from here, so all have them."""
        given = _given(settings)
        if not given:
            raise PluginError(f"nothing to do: use {', '.join([*_COMMANDS, *_URLS])}")
        self._commands = {
            option: parse_command(option, given[option], fields)
            for option, fields in _COMMANDS.items()
            if option in given
        }
        self._webhooks = {option: Webhook(option, given[option]) for option in _URLS if option in given}
        self._source = cloud_event_source(settings)
        for option, command in self._commands.items():
            if command.program is not None and shutil.which(command.program) is None:
                log.warning("%s: there is no program %s now", option, command.program)

    @hookimpl
    def delivery_targets(self, settings: PluginSettings) -> list[str]:
        return _targets(settings, "deliver")

    @hookimpl
    def completion_targets(self, settings: PluginSettings, hook: str) -> list[str]:
        return _targets(settings, hook)

    @hookimpl
    def deliver(self, event: StoredEvent, target: str) -> None:
        if target == "on-instance":
            execute(self._commands["--on-instance"], of_instance(event))
        else:
            self._webhooks["--on-instance-url"].post(cloud_event(event, self._source))

    @hookimpl
    def series_completed(self, series: Series) -> None:
        self._execute_for_all("--on-series", series)

    @hookimpl
    def study_completed(self, study: Study, target: str) -> None:
        if target == "on-study":
            self._execute_for_all("--on-study", study)
        else:
            self._webhooks["--on-study-url"].post(cloud_event(study, self._source))

    def _execute_for_all(self, option: str, study: Study | Series) -> None:
        execute(self._commands[option], of_study(study), [absolute(event.location) for event in study.instances])


plugin = ActionsPlugin()


def _targets(settings: PluginSettings, hook: str) -> list[str]:
    """Those options of a hook that are given."""
    return [option[2:] for option in _OF_HOOKS[hook] if option in _given(settings)]


def _given(settings: PluginSettings) -> dict[str, str]:
    """The options that are given, with their values."""
    values = {option: settings.options[option[2:].replace("-", "_")] for option in (*_COMMANDS, *_URLS)}
    return {option: value for option, value in values.items() if value is not None}
