"""Reading the command line in DCMTK's notation, which argparse cannot: an option swallows the tokens behind it whatever
they look like, names are exact, nothing is bundled or abbreviated, `-1` is a number.

`expand` replaces @files by their tokens; `find_plugins` picks the `--plugin` values, so that plugins can be loaded and
declare their options; `parse` reads everything. It checks in the original's order: options and number of parameters;
what ends the program (`-h`); logging; values in the order of the table; the port.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dcmrecv_core import logs
from dcmrecv_core.errors import CommandLineError
from dcmrecv_core.options import BY_NAME, OPTIONS, Action, Option, range_fault, scan_integer
from dcmrecv_core.plugin_options import PluginOption, PluginOptionRegistry
from dcmrecv_core.settings import Settings

_ENDING_ACTIONS: tuple[Action, ...] = ("help", "version", "list-plugins")

# A token ends at white space or behind a closing quote; an opening quote inside a token only hides white space.
_FILE_TOKEN = re.compile(r"""([^ \t\r\n"']*)(?:"([^"]*)("?)|'([^']*)('?))|[^ \t\r\n"']+""")


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A command line that was read without error.

    `settings` are the defaults unless `action` is "run". `arguments` is what `--arguments` prints on stderr, "" if it
    was not given.
    """

    action: Action
    settings: Settings
    arguments: str = ""


@dataclass(slots=True)
class _Scan:
    """The command line cut into options, with the tokens they swallowed, and parameters."""

    parameters: list[str] = field(default_factory=list)
    options: list[tuple[Option | PluginOption, tuple[str, ...]]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)  # all of it, names in their long form

    def effective(self) -> dict[str, tuple[Option, tuple[str, ...]]]:
        """The occurrences of built-in options that count, by long name: the rightmost of each exclusive set."""
        rightmost = {
            option.exclusive or option.long: (option, texts)
            for option, texts in self.options
            if isinstance(option, Option)
        }
        return {option.long: (option, texts) for option, texts in rightmost.values()}


def expand(argv: Iterable[str]) -> list[str]:
    """Replace each `@file` by the tokens in the file, also where an option's value is expected.

    `argv` comes without the program's name. In the file, quotes of both kinds group, and there are no escapes, comments
    or further @files. Raises CommandLineError for a file that cannot be read.
    """
    tokens: list[str] = []
    for arg in argv:
        if len(arg) < 2 or not arg.startswith("@"):
            tokens.append(arg)
            continue
        try:
            with open(arg[1:], "rb") as file:
                content = os.fsdecode(file.read())
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise CommandLineError(f"Cannot open command file '{arg[1:]}'") from error
        tokens += _file_tokens(content)
    return tokens


def _file_tokens(content: str) -> Iterator[str]:
    for match in _FILE_TOKEN.finditer(content):
        head, double, double_end, single, single_end = match.groups()
        if head is None:
            yield match[0]
            continue
        token = head + (single if double is None else double)
        if token or double_end or single_end:  # a quote that the file ends behind makes no empty token
            yield token


def find_plugins(tokens: Sequence[str]) -> tuple[str, ...]:
    """The values of `--plugin`, in order, without judging anything else.

    How many tokens an option of a plugin not yet loaded swallows cannot be known here: they are looked at like others.
    """
    found = []
    rest = iter(tokens)
    for token in rest:
        option = BY_NAME.get(token)
        if option is None:
            continue
        values = [value for _, value in zip(range(option.arity), rest, strict=False)]
        if option.key == "plugins":
            found += values
    return tuple(found)


def parse(
    tokens: Sequence[str],
    plugin_options: PluginOptionRegistry,
    *,
    port_optional: bool = False,
    program: str = "dcmrecv",
) -> CommandLine:
    """Read a command line whose @files were expanded; no tokens at all ask for help.

    `port_optional`: a listening socket was passed in. `program` is the name that `--arguments` shows. Raises
    CommandLineError with dcmrecv's texts, PluginError for a plugin option's type that fails unexpectedly.
    """
    scan = _scan(tokens, plugin_options)
    actions = {option.action for option, _ in scan.options if isinstance(option, Option)}
    for action in _ENDING_ACTIONS:
        if action in actions or not (tokens or port_optional):
            return CommandLine(action, Settings())
    _check_parameter_count(scan.parameters, port_optional)
    effective = scan.effective()
    _check_logging(effective)
    arguments = _arguments(program, scan.tokens) if "--arguments" in effective else ""
    try:
        settings = _settings(scan, effective, plugin_options)
    except CommandLineError as error:
        error.quiet = "--quiet" in effective
        error.arguments = arguments
        raise
    return CommandLine("run", settings, arguments)


def _scan(tokens: Sequence[str], plugin_options: PluginOptionRegistry) -> _Scan:
    scan = _Scan()
    rest = iter(tokens)
    for token in rest:
        if len(token) < 2 or token[0] not in "-+" or token[1] in "0123456789":
            scan.parameters.append(token)
            scan.tokens.append(token)
            continue
        option = BY_NAME.get(token) or plugin_options.find(token)
        if option is None:
            raise CommandLineError(f"Unknown option {token}")
        texts = tuple(text for _, text in zip(range(option.arity), rest, strict=False))
        if len(texts) < option.arity:
            raise CommandLineError(f"Missing value for option {option.long}")
        scan.options.append((option, texts))
        scan.tokens += (option.long, *texts)
    return scan


def _check_parameter_count(parameters: list[str], port_optional: bool) -> None:
    if not parameters and not port_optional:
        raise CommandLineError("Missing parameter port")
    if len(parameters) > 1:
        raise CommandLineError("Too many parameters")


def _check_logging(effective: Mapping[str, tuple[Option, tuple[str, ...]]]) -> None:
    verbosity = effective.keys() & {"--quiet", "--verbose", "--debug"}
    for name in ("--log-level", "--log-config"):
        if name not in effective:
            continue
        if verbosity:
            raise CommandLineError(f"{name} not allowed with --verbose, --debug or --quiet")
        option, texts = effective[name]
        option.convert(texts)
        if name == "--log-config":
            if "--log-level" in effective:
                raise CommandLineError("--log-config not allowed with --log-level")
            logs.read_config(texts[0])


def _arguments(program: str, tokens: list[str]) -> str:
    shown = "".join(f"'{token}' " for token in tokens if token)
    text = f"calling '{program}' with {len(tokens)} arguments: {shown}\n"
    return "I: " + text.replace("\n", "\nI: ") + "\n"


def _settings(
    scan: _Scan, effective: Mapping[str, tuple[Option, tuple[str, ...]]], plugin_options: PluginOptionRegistry
) -> Settings:
    values: dict[str, Any] = {}
    for option in OPTIONS:
        if option.long not in effective:
            continue
        values.update(option.sets)
        if option.repeatable:
            values[option.key] = tuple(option.convert(texts) for other, texts in scan.options if other is option)
        elif option.key:
            values[option.key] = option.convert(effective[option.long][1])
        if option.long == "--verbose-pc":
            _check_verbose(values)
    if values.get("output_directory") == "":
        values["output_directory"] = Settings().output_directory
    values["plugin_options"] = _plugin_values(scan, plugin_options)
    if scan.parameters:
        values["port"] = _port(scan.parameters[0])
    return Settings(**values)


def _check_verbose(values: Mapping[str, Any]) -> None:
    # What a --log-config file enables is known only when it is in force: logs.setup checks that.
    level = logs.LEVELS[values.get("log_level", Settings().log_level)]
    if level > logs.LEVELS["info"] and "log_config" not in values:
        raise CommandLineError("--verbose-pc only allowed with verbose mode")


def _plugin_values(scan: _Scan, plugin_options: PluginOptionRegistry) -> dict[str, dict[str, Any]]:
    values: dict[str, dict[str, Any]] = {}
    given = {option.long: texts for option, texts in scan.options if isinstance(option, PluginOption)}
    for option in plugin_options:
        texts = given.get(option.long)
        value = option.default if texts is None else option.convert(texts)
        values.setdefault(option.plugin, {})[option.key] = value
    return values


def _port(text: str) -> int:
    number = scan_integer(text, signed=True)
    if number is None:
        raise CommandLineError(f"Invalid parameter value {text}")
    # dcmrecv reads into an unsigned number, where -1 is a very large one
    fault = "overflow" if number < 0 else range_fault(number, 1, 65535)
    if fault:
        raise CommandLineError(f"Invalid parameter value {text} ({fault})")
    return number
