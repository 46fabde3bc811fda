"""Reading the command line in DCMTK's notation, which argparse cannot: an option takes the tokens after it whatever
they look like, names are exact, nothing is bundled or abbreviated, `-1` is a number.

`expand` replaces @files by their tokens; `find_plugins`, `find_directories` and `find_settings` pick the values of
`--plugin`, `--plugins-dir` and `--settings`, so that plugins can be loaded and declare their options; `parse` reads
everything. It checks in the original's order: options and number of parameters; what ends the program (`-h`); logging;
values in the order of the table; the port.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

from dcmrecv_core.api.errors import CommandLineError, PluginError
from dcmrecv_core.api.options import Given, PluginOption, PluginOptionRegistry
from dcmrecv_core.config.options import tls as tls_options
from dcmrecv_core.config.options.option import Action, Option, range_fault, scan_integer
from dcmrecv_core.config.options.table import BY_NAME, OPTIONS, PORT
from dcmrecv_core.config.plugin_tables import header
from dcmrecv_core.hooks.places import add_place
from dcmrecv_core.logs.records import LEVELS
from dcmrecv_core.logs.setup import read_config
from dcmrecv_core.settings.settings import Settings

_ENDING_ACTIONS: tuple[Action, ...] = ("help", "version", "list-ciphers")
_INSPECTING_ACTIONS: tuple[Action, ...] = ("list-plugins", "explain", "dump-settings")

_PORT_HINT = f"give a TCP port, {PORT.allowed}"

# A token ends at white space or after a closing quote; an opening quote inside a token only hides white space.
_FILE_TOKEN = re.compile(r"""([^ \t\r\n"']*)(?:"([^"]*)("?)|'([^']*)('?))|[^ \t\r\n"']+""")


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A command line that was read without error.

    `settings` are the defaults if `action` is "help", "version" or "list-ciphers". `arguments` is what `--arguments`
    prints on stderr, "" if it was not given. `given` are the values of plugins' options, by plugin and key, that the
    settings file or the command line gives. `files` are the parameters of `--explain`, `json` is how it and
    `--list-plugins` answer; `sender` are the calling title, the address and the called title that `--explain` is to
    assume, "" for the default. `new_plugin` are the name that `--new-plugin` gives, the directory, if there is one, and
    the template.
    """

    action: Action
    settings: Settings
    arguments: str = ""
    files: tuple[str, ...] = ()
    json: bool = False
    given: Mapping[str, Mapping[str, Given]] = field(default_factory=dict)
    new_plugin: tuple[str, str | None, str] | None = None
    sender: tuple[str, str, str] = ("", "", "")


@dataclass(slots=True)
class _Scan:
    """The command line cut into options, with the tokens they took, and parameters."""

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
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            raise CommandLineError(f"Cannot open command file '{arg[1:]}'", hint=reason) from error
        tokens += _file_tokens(content)
    return tokens


def _file_tokens(content: str) -> Iterator[str]:
    for match in _FILE_TOKEN.finditer(content):
        head, double, double_end, single, single_end = match.groups()
        if head is None:
            yield match[0]
            continue
        token = head + (single if double is None else double)
        if token or double_end or single_end:  # a quote at the end of the file makes no empty token
            yield token


def find_plugins(tokens: Sequence[str]) -> tuple[str, ...]:
    """The values of `--plugin`, in order, without judging anything else.

    How many tokens an option takes is not known before its plugin is loaded: they are looked at like others.
    """
    return tuple(_early_values(tokens, "plugins"))


def find_directories(tokens: Sequence[str]) -> tuple[str, ...]:
    """The values of `--plugins-dir`, in the same way."""
    return tuple(_early_values(tokens, "plugins_dir"))


def reloads_plugins(tokens: Sequence[str]) -> bool:
    """Whether `--reload-plugins` may be among them: it could be the value of an option, too."""
    return "--reload-plugins" in tokens


def find_settings(tokens: Sequence[str]) -> str | None:
    """The value of the last `--settings`, in the same way."""
    return next(iter(reversed(_early_values(tokens, "settings_file"))), None)


def merged(from_file: Iterable[str], given: Sequence[str]) -> tuple[str, ...]:
    """The values of a repeatable option: those of the settings file first, so that the command line's come later."""
    return (*(value for value in from_file if value not in given), *given)


def preferred(from_file: Iterable[str], given: Iterable[str]) -> tuple[str, ...]:
    """The same for a list of which the first counts most: the command line's come first."""
    return tuple(dict.fromkeys((*given, *from_file)))


def _early_values(tokens: Sequence[str], key: str) -> list[str]:
    found = []
    rest = iter(tokens)
    for token in rest:
        option = BY_NAME.get(token)
        if option is None:
            continue
        values = [value for _, value in zip(range(option.arity), rest, strict=False)]
        if option.key == key:
            found += values
    return found


def parse(
    tokens: Sequence[str],
    plugin_options: PluginOptionRegistry,
    *,
    port_optional: bool = False,
    program: str = "dcmrecv",
    file_values: Mapping[str, Any] = MappingProxyType({}),
    file_plugins: Mapping[str, Mapping[str, Given]] = MappingProxyType({}),
) -> CommandLine:
    """Read a command line whose @files were expanded; no tokens at all ask for help.

    `port_optional`: a listening socket was passed in. `program` is the name that `--arguments` shows. What the command
    line does not say is as in the settings file: `file_values` by field, `file_plugins` by plugin and key. Raises
    CommandLineError with DCMTK's texts, PluginError for a plugin option's type that fails unexpectedly.
    """
    scan = _scan(tokens, plugin_options)
    actions = {option.action for option, _ in scan.options if isinstance(option, Option)}
    for action in _ENDING_ACTIONS:
        if action in actions or not (tokens or port_optional):
            return CommandLine(action, Settings())
    if "new-plugin" in actions:
        return CommandLine("new-plugin", Settings(), new_plugin=_new_plugin(scan))
    action = next((action for action in _INSPECTING_ACTIONS if action in actions), "run")
    _check_parameter_count(scan.parameters, action, port_optional or "port" in file_values)
    effective = scan.effective()
    _check_logging(effective)
    arguments = _arguments(program, scan.tokens) if "--arguments" in effective else ""
    try:
        if "--json" in effective and action not in ("list-plugins", "explain"):
            raise CommandLineError("--json only allowed with --list-plugins or --explain")
        if "--template" in effective:
            raise CommandLineError(
                "--template only allowed with --new-plugin", hint="it says what --new-plugin NAME writes"
            )
        sender = _sender(effective, action)
        settings = _settings(scan, effective, file_values)
        given = _given(scan, file_plugins)
        if settings.layout_limit is not None and settings.layout is None:
            raise CommandLineError("--layout-limit only allowed with --layout")
        settings = replace(settings, plugin_options=_plugin_values(plugin_options, given))
        if scan.parameters and action != "explain":
            settings = replace(settings, port=_port(scan.parameters[0]))
        given_names = {option.long for option, _ in scan.options}
        tls_options.check(given_names, effective, enabled=settings.tls is not None)
    except CommandLineError as error:
        error.quiet = _hides_errors(effective)
        error.arguments = arguments
        raise
    files = tuple(scan.parameters) if action == "explain" else ()
    return CommandLine(action, settings, arguments, files, "--json" in effective, given, sender=sender)


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
            from dcmrecv_core.config.unknown_options import hint_for  # only mistakes need it

            raise CommandLineError(
                f"Unknown option {token}", hint=hint_for(token, [each.long for each in plugin_options])
            )
        if isinstance(option, PluginOption) and option.table is not None:
            raise CommandLineError(
                f"Option {option.long} has no place on a command line: write {header(option)} into a settings file "
                "(--settings)"
            )
        texts = tuple(text for _, text in zip(range(option.arity), rest, strict=False))
        if len(texts) < option.arity:
            raise CommandLineError(f"Missing value for option {option.long}", hint=f"give {_values(option)} after it")
        scan.options.append((option, texts))
        scan.tokens += (option.long, *(("***",) if option.secret else texts))
    return scan


def _values(option: Option | PluginOption) -> str:
    """What follows an option, in words."""
    if isinstance(option, PluginOption):
        return option.value or ""
    return " and ".join(value.allowed for value in option.values)


def _sender(effective: Mapping[str, tuple[Option, tuple[str, ...]]], action: Action) -> tuple[str, str, str]:
    """Calling title, address and called title of `--as` and `--to`."""
    given = {name: effective[name][1][0] for name in ("--as", "--to") if name in effective}
    for name in given:
        if action != "explain":
            raise CommandLineError(f"{name} only allowed with --explain")
    sender, called = given.get("--as", ""), given.get("--to", "")
    before, at, after = sender.rpartition("@")
    calling, address = (before, after) if at else (sender, "")
    for name, title in (("--as", calling), ("--to", called)):
        if not _is_title(title):
            raise CommandLineError(f"Invalid value for option {name} ({title}): at most 16 characters expected")
    if at:
        try:
            ip_address(address)
        except ValueError:
            raise CommandLineError(f"Invalid value for option --as ({address}): an IP address expected") from None
    return calling, address, called


def _is_title(title: str) -> bool:
    """Whether it is an AE title (PS3.5 section 6.2), or empty."""
    return len(title) <= 16 and title.isascii() and title.isprintable() and "\\" not in title


def _new_plugin(scan: _Scan) -> tuple[str, str | None, str]:
    if len(scan.parameters) > 1:
        raise _too_many(scan.parameters, "directory")
    effective = scan.effective()
    [name] = effective["--new-plugin"][1]
    option, texts = effective.get("--template", (None, ()))
    template = option.convert(texts) if option else "naming"
    return name, scan.parameters[0] if scan.parameters else None, template


def _check_parameter_count(parameters: list[str], action: Action, port_optional: bool) -> None:
    if action == "explain":
        if not parameters:
            raise CommandLineError("Missing parameter file")
        return
    if not parameters and not port_optional and action == "run":
        raise CommandLineError("Missing parameter port", hint=_PORT_HINT)
    if len(parameters) > 1:
        raise _too_many(parameters, "port")


def _too_many(parameters: list[str], allowed: str) -> CommandLineError:
    # they are not shown: a part of a password may be among them
    hint = f"give one {allowed}, not {len(parameters)} parameters; a value with blanks needs quotes"
    return CommandLineError("Too many parameters", hint=hint)


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
            read_config(texts[0])


def _hides_errors(effective: Mapping[str, tuple[Option, tuple[str, ...]]]) -> bool:
    """Whether the command line's log level leaves out errors: errors in itself, too."""
    level = Settings().log_level
    for option, texts in effective.values():
        level = option.convert(texts) if option.key == "log_level" else option.sets.get("log_level", level)
    return LEVELS[level] > LEVELS["error"]


def _arguments(program: str, tokens: list[str]) -> str:
    shown = "".join(f"'{token}' " for token in tokens if token)
    text = f"calling '{program}' with {len(tokens)} arguments: {shown}\n"
    return "I: " + text.replace("\n", "\nI: ") + "\n"


def _settings(
    scan: _Scan, effective: Mapping[str, tuple[Option, tuple[str, ...]]], file_values: Mapping[str, Any]
) -> Settings:
    values = dict(file_values)
    if "log_level" in {key for option, _ in effective.values() for key in (option.key, *option.sets)}:
        values.pop("log_config", None)  # else the file's would override the command line
    for option in OPTIONS:
        if option.long not in effective:
            continue
        values.update(option.sets)
        if option.repeatable:
            given = [option.convert(texts) for other, texts in scan.options if other is option]
            before = values.get(option.key, ())
            values[option.key] = preferred(before, given) if option.key == "prefer" else merged(before, given)
        elif option.key:
            values[option.key] = option.convert(effective[option.long][1])
        if option.long in ("--verbose-pc", "--trace-hooks"):
            _check_verbose(option.long, values)
    if values.get("output_directory") == "":
        values["output_directory"] = Settings().output_directory
    return Settings(**values)


def _check_verbose(name: str, values: Mapping[str, Any]) -> None:
    # What a --log-config file enables is known only when it is in force: LogWiring checks that.
    level = LEVELS[values.get("log_level", Settings().log_level)]
    if level > LEVELS["info"] and "log_config" not in values:
        raise CommandLineError(f"{name} only allowed with verbose mode", hint="add -v, -d or -ll info")


def _given(scan: _Scan, file_plugins: Mapping[str, Mapping[str, Given]]) -> dict[str, dict[str, Given]]:
    """The values of plugins' options that the settings file or the command line gives."""
    given = {plugin: dict(values) for plugin, values in file_plugins.items()}
    found = [(option, texts) for option, texts in scan.options if isinstance(option, PluginOption)]
    for option, texts in {option.long: (option, texts) for option, texts in found}.values():
        values = given.setdefault(option.plugin, {})
        if option.repeatable:
            before = values[option.key].value if option.key in values else ()
            items = [item for other, texts in found if other is option for item in _convert(option, texts)]
            value = list(merged(before, items))
        else:
            value = _convert(option, texts)
        values[option.key] = Given(value, option.shown("".join(texts), value))
    return given


def _convert(option: PluginOption, texts: tuple[str, ...]) -> Any:
    try:
        return option.convert(texts)
    except PluginError as error:
        add_place(error)
        raise


def _plugin_values(
    plugin_options: PluginOptionRegistry, given: Mapping[str, Mapping[str, Given]]
) -> dict[str, dict[str, Any]]:
    values: dict[str, dict[str, Any]] = {}
    for option in plugin_options:
        found = given.get(option.plugin, {}).get(option.key)
        default = list(option.default) if isinstance(option.default, list) else option.default
        values.setdefault(option.plugin, {})[option.key] = default if found is None else found.value
    return values


def _port(text: str) -> int:
    number = scan_integer(text, signed=True)
    if number is None:
        raise CommandLineError(f"Invalid parameter value {text}", hint=_PORT_HINT)
    # DCMTK reads into an unsigned number, where -1 is a very large one
    fault = "overflow" if number < 0 else range_fault(number, PORT.minimum, PORT.maximum)
    if fault:
        raise CommandLineError(f"Invalid parameter value {text} ({fault})", hint=_PORT_HINT)
    return number
