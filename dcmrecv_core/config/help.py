"""The texts that the program prints about itself, in the layout of DCMTK's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from dcmrecv_core import compiled
from dcmrecv_core.api.errors import CommandLineError, StartError
from dcmrecv_core.api.options import PluginOption
from dcmrecv_core.api.version import DATE, __version__
from dcmrecv_core.config.options.option import Option, Value
from dcmrecv_core.config.options.table import OPTIONS
from dcmrecv_core.config.plugin_tables import header

VERSION_LINE = f"$dcmrecv: dcmrecv v{__version__} {DATE} $"

_HEADER = f"{VERSION_LINE}\n\ndcmrecv: Simple DICOM storage SCP (receiver)\n"
_DESCRIPTION_COLUMN = 33
_LONG_COLUMN = 10

_KIND_TEXTS = {
    "string": "string",
    "integer": "integer",
    "size": "bytes, or with K, M, G",
    "level": "string constant",
    "choice": "string constant",
    "transfer-syntax": "name or UID",
    "network": "address or network",
}


def help_text(plugin_options: Iterable[PluginOption] = ()) -> str:
    """All that `--help` prints: the options of the table, then those of each plugin."""
    lines = ["usage: dcmrecv [options] port", "", "parameters:"]
    lines += _entry("  port", ["TCP port to listen on"])
    lines.append("")
    for section, options in groupby(OPTIONS, key=lambda option: option.section):
        lines.append(f"{section}:")
        for group, members in groupby(options, key=lambda option: option.group):
            lines += [f"  {group}:"] if group else []
            for option in members:
                lines += _entry(_names(option), _description(option))
    by_plugin = sorted(plugin_options, key=lambda option: option.plugin)
    for plugin, declared in groupby(by_plugin, key=lambda option: option.plugin):
        lines.append(f"options of plugin {plugin}:")
        for declaration in declared:
            lines += _entry(" " * _LONG_COLUMN + declaration.long, _plugin_description(declaration))
    return _HEADER + "\n".join(lines) + "\n\n"


def version_text() -> str:
    """All that `--version` prints: the program, the host and the libraries."""
    import ssl
    from importlib.metadata import version

    lines = [
        "External libraries used:",
        f"- {ssl.OPENSSL_VERSION}",
        *(f"- {name} {version(name)}" for name in ("pluggy", "pydicom", "pynetdicom")),
    ]
    return _HEADER + _host_text() + "\n".join(lines) + "\n"


def ciphers_text() -> str:
    """All that `--list-ciphers` prints."""
    from dcmrecv_core.settings.tls_profiles import SUITES

    lines = ["Supported TLS ciphersuites are:", *(f"  {name}" for name in SUITES)]
    return _HEADER + _host_text() + "\n".join(lines) + "\n"


def _host_text() -> str:
    import platform
    import sys

    parts = "compiled" if compiled.AVAILABLE else "pure Python"
    lines = [
        "",
        f"Host type: {platform.system()} {platform.machine()}",
        f"Character encoding: {sys.getfilesystemencoding()}",
        f"Build options: {platform.python_implementation()} {platform.python_version()}, {parts}",
        "",
    ]
    return "".join(f"{line}\n" for line in lines)


def error_text(error: StartError) -> str:
    """The text on stderr for a command line, or plugins, that cannot be used; "" if `-q` hides it."""
    text = f"{_HEADER}error: {error}\n"
    if not isinstance(error, CommandLineError):
        return text
    hint = f"hint: {error.hint}\n" if error.hint else ""
    return error.arguments + ("" if error.quiet else text + hint)


def _names(option: Option) -> str:
    indent = "    " if option.group else "  "
    return f"{indent}{option.short}".ljust(_LONG_COLUMN) + option.long


def _description(option: Option) -> list[str]:
    lines = option.help.split("\n")
    if option.values:
        lines.insert(0, _values(option.values) + (f" (default: {option.default})" if option.default else ""))
    return lines


def _values(values: tuple[Value, ...]) -> str:
    """Like `[f]ilename, [p]rofile: string`, with the range of numbers where there is one."""
    names = ", ".join(f"[{value.name[0]}]{value.name[1:]}" for value in values)
    last = values[-1]
    limits = f" ({last.shown(last.minimum)}..{last.shown(last.maximum)})" if last.maximum is not None else ""
    return f"{names}: {_KIND_TEXTS[last.kind]}{limits}"


def _plugin_description(option: PluginOption) -> Iterator[str]:
    if option.table is not None:
        yield f"{header(option)} in a settings file, with the keys"
        yield ", ".join(field.name for field in option.table.fields)
    elif option.value is not None:
        choices = f": {', '.join(map(str, option.choices))}" if option.choices else ""
        default = ", ".join(option.default) or None if isinstance(option.default, list) else option.default
        hidden = default is None or option.secret
        yield f"{option.value}{choices}" + ("" if hidden else f" (default: {default})")
    yield from option.help.splitlines()
    if option.repeatable:
        yield "may be given more than once"


def _entry(names: str, description: Iterable[str]) -> Iterator[str]:
    lines = list(description) or [""]
    if len(names) > _DESCRIPTION_COLUMN - 2:
        yield names
    else:
        yield (names.ljust(_DESCRIPTION_COLUMN) + lines.pop(0)).rstrip()
    for line in lines:
        yield (" " * _DESCRIPTION_COLUMN + line).rstrip()
