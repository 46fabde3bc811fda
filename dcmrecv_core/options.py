"""The one table of options: command line, help, man page and settings keys all come from it.

Its order is the order of the help and the order in which values are checked. Reading a command line by it is
`commandline.py`, showing it `help.py`; options of plugins are in `plugin_options.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from dcmrecv_core.errors import CommandLineError
from dcmrecv_core.logs import LEVELS

Kind = Literal["string", "integer", "level", "choice"]
Action = Literal["run", "help", "version", "list-plugins", "explain", "dump-settings", "new-plugin"]

LARGEST_INTEGER = 2**31 - 1
"""Larger numbers count as this one: as seconds it is 68 years, and every system call can take it."""

_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?)([0-9]+)")


@dataclass(frozen=True, slots=True)
class Value:
    """One value that follows an option: its name, of which the first letter stands for it, kind, range and choices."""

    name: str
    kind: Kind = "string"
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()


PORT = Value("port", "integer", 1, 65535)
"""The parameter behind all options."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option of the command line.

    A flag gives the settings fields in `sets` their values; an option with `values` puts them into the settings
    field `key` (a tuple if there are several), one that is `repeatable` appends to it. Of the options with one
    `exclusive` name only the rightmost counts. `default` is shown in the help, `action` is what the program does
    instead of receiving.
    """

    section: str
    group: str
    long: str
    short: str
    help: str
    values: tuple[Value, ...] = ()
    key: str = ""
    sets: dict[str, Any] = field(default_factory=dict)
    exclusive: str = ""
    default: str = ""
    repeatable: bool = False
    action: Action = "run"

    @property
    def arity(self) -> int:
        """How many tokens the option swallows."""
        return len(self.values)

    def convert(self, texts: tuple[str, ...]) -> Any:
        """The value for the settings field `key`. Raises CommandLineError with dcmrecv's text."""
        converted = tuple(self._convert(value, text) for value, text in zip(self.values, texts, strict=True))
        return converted[0] if len(converted) == 1 else converted

    def _convert(self, value: Value, text: str) -> str | int:
        if value.kind == "string":
            return text
        if value.kind == "level":
            if text.lower() not in LEVELS:
                raise CommandLineError("Invalid log level for --log-level option")
            return text.lower()
        if value.kind == "choice":
            if text not in value.choices:
                raise CommandLineError(f"Invalid value for option {self.long} ({text})")
            return text
        number = scan_integer(text)
        if number is None:
            raise CommandLineError(f"Invalid value for option {self.long}" + (f" ({text})" if text else ""))
        fault = range_fault(number, value.minimum, value.maximum)
        if fault:
            raise CommandLineError(f"Invalid value for option {self.long} ({fault}: {text})")
        return number


def scan_integer(text: str, *, signed: bool = False) -> int | None:
    """Read an integer as C's scanf does: leading white space, a plus sign and trailing rubbish are fine, a minus sign
    only if `signed`. None if there is no number."""
    match = _NUMBER.match(text)
    if match is None:
        return None
    sign, digits = match.groups()
    if sign == "-" and not signed:
        return None
    number = min(int(digits.lstrip("0")[:20] or "0"), LARGEST_INTEGER)  # int() refuses thousands of digits
    return -number if sign == "-" else number


def range_fault(number: int, minimum: int | None, maximum: int | None) -> str | None:
    """dcmrecv's word for a number that is out of range, or None."""
    if minimum is not None and number < minimum:
        return "underflow"
    if maximum is not None and number > maximum:
        return "overflow"
    return None


_GENERAL = "general options"
_PLUGINS = "plugin options"
_INSPECTION = "inspection options (without network)"
_NETWORK = "network options"
_OUTPUT = "output options"

_CONTEXTS = "accepted presentation contexts (default: Verification only)"
_TITLE = "application entity title"
_OTHER_NETWORK = "other network options"
_PLACE = "general"
_SUBDIRS = "subdirectory generation"
_FILENAMES = "filename generation"
_MODE = "storage mode"
_DURABILITY = "durability"

OPTIONS: tuple[Option, ...] = (
    Option(_GENERAL, "", "--help", "-h", "show this text and exit", action="help"),
    Option(_GENERAL, "", "--version", "", "show version, host and libraries, and exit", action="version"),
    Option(_GENERAL, "", "--arguments", "", "show the command line with @files expanded"),
    Option(
        _GENERAL,
        "",
        "--quiet",
        "-q",
        "log nothing but fatal errors",
        sets={"log_level": "fatal"},
        exclusive="verbosity",
    ),
    Option(
        _GENERAL, "", "--verbose", "-v", "log what is being done", sets={"log_level": "info"}, exclusive="verbosity"
    ),
    Option(
        _GENERAL,
        "",
        "--debug",
        "-d",
        "log everything that helps to find faults",
        sets={"log_level": "debug"},
        exclusive="verbosity",
    ),
    Option(
        _GENERAL,
        "",
        "--log-level",
        "-ll",
        "log messages from level l up\n(fatal, error, warn, info, debug, trace)",
        values=(Value("level", "level"),),
        key="log_level",
    ),
    Option(
        _GENERAL,
        "",
        "--log-config",
        "-lc",
        "configure logging by file f (Python's logging.config:\n.toml, .json or ini)",
        values=(Value("filename"),),
        key="log_config",
    ),
    Option(
        _GENERAL,
        "",
        "--verbose-pc",
        "+v",
        "log the presentation contexts of each association\n(only with -v, -d or log level info)",
        sets={"verbose_pc": True},
    ),
    Option(
        _GENERAL,
        "",
        "--settings",
        "",
        "read settings from TOML file f; what stands on the\ncommand line wins",
        values=(Value("filename"),),
        key="settings_file",
    ),
    Option(
        _GENERAL,
        "",
        "--dump-settings",
        "",
        "show all settings as a file for --settings, and exit",
        action="dump-settings",
    ),
    Option(
        _PLUGINS,
        "",
        "--plugin",
        "",
        "load plugin n: an installed plugin's name, a module\nor a .py file (repeatable)",
        values=(Value("name"),),
        key="plugins",
        repeatable=True,
    ),
    Option(
        _PLUGINS,
        "",
        "--new-plugin",
        "",
        "write the package of a new plugin called n, and exit:\nthe parameter is its directory (default: dcmrecv-n)",
        values=(Value("name"),),
        action="new-plugin",
    ),
    Option(
        _PLUGINS,
        "",
        "--trace-hooks",
        "",
        "log what each hook of each plugin says, and its time\n(only with -v, -d or log level info)",
        sets={"trace_hooks": True},
    ),
    Option(
        _INSPECTION,
        "",
        "--list-plugins",
        "",
        "show all plugins, which of them are active and the\norder in which they are asked, and exit",
        action="list-plugins",
    ),
    Option(
        _INSPECTION,
        "",
        "--explain",
        "",
        "show what would become of DICOM files, and exit:\nthe parameters are files and directories, not a port",
        action="explain",
    ),
    Option(_INSPECTION, "", "--json", "", "show it as JSON (only with --list-plugins or --explain)"),
    Option(
        _NETWORK,
        _CONTEXTS,
        "--config-file",
        "-xf",
        "accept what profile p in file f lists",
        values=(Value("filename"), Value("profile")),
        key="config_file",
    ),
    Option(
        _NETWORK,
        _CONTEXTS,
        "--promiscuous",
        "-pm",
        "accept Verification and every SOP class that may be\nstored, in any transfer syntax",
        sets={"promiscuous": True},
    ),
    Option(
        _NETWORK,
        _TITLE,
        "--aetitle",
        "-aet",
        "our own title (no effect: any called title is accepted)",
        values=(Value("aetitle"),),
        key="ae_title",
        exclusive="title",
        default="DCMRECV",
    ),
    Option(
        _NETWORK,
        _TITLE,
        "--use-called-aetitle",
        "-uca",
        "our title is the one that was called (no effect, as -aet)",
        sets={"ae_title": None},
        exclusive="title",
    ),
    Option(
        _NETWORK,
        _OTHER_NETWORK,
        "--acse-timeout",
        "-ta",
        "time for a complete association request",
        values=(Value("seconds", "integer", 1),),
        key="acse_timeout",
        default="30",
    ),
    Option(
        _NETWORK,
        _OTHER_NETWORK,
        "--dimse-timeout",
        "-td",
        "time to wait for the next message or part of it",
        values=(Value("seconds", "integer", 1),),
        key="dimse_timeout",
        default="unlimited",
    ),
    Option(
        _NETWORK,
        _OTHER_NETWORK,
        "--max-pdu",
        "-pdu",
        "largest PDU that peers may send",
        values=(Value("number of bytes", "integer", 4096, 131072),),
        key="max_pdu",
        default="16384",
    ),
    Option(
        _NETWORK,
        _OTHER_NETWORK,
        "--disable-host-lookup",
        "-dhl",
        "log addresses instead of host names",
        sets={"disable_host_lookup": True},
    ),
    Option(
        _NETWORK,
        _OTHER_NETWORK,
        "--bind",
        "",
        "listen on this local address only",
        values=(Value("address"),),
        key="bind",
        default="0.0.0.0, all",
    ),
    Option(
        _NETWORK,
        _OTHER_NETWORK,
        "--max-associations",
        "",
        "serve up to n associations at once",
        values=(Value("number", "integer", 1, 1024),),
        key="max_associations",
        default="64",
    ),
    Option(
        _OUTPUT,
        _PLACE,
        "--output-directory",
        "-od",
        "existing directory for everything received",
        values=(Value("directory"),),
        key="output_directory",
        default='"."',
    ),
    Option(
        _OUTPUT,
        _PLACE,
        "--state-dir",
        "",
        "where plugins keep what survives a restart\n(default: .dcmrecv in the output directory)",
        values=(Value("directory"),),
        key="state_dir",
    ),
    Option(
        _OUTPUT,
        _SUBDIRS,
        "--no-subdir",
        "-s",
        "all files directly in the output directory (default)",
        sets={"subdirs": "no-subdir"},
        exclusive="subdirs",
    ),
    Option(
        _OUTPUT,
        _SUBDIRS,
        "--series-date-subdir",
        "+ssd",
        "data/YYYY/MM/DD by Series Date, undef/YYYYMMDD\nby today's date where there is none",
        sets={"subdirs": "series-date"},
        exclusive="subdirs",
    ),
    Option(
        _OUTPUT,
        _FILENAMES,
        "--default-filenames",
        "+fd",
        "modality and SOP Instance UID (default)",
        sets={"filenames": "instance-uid"},
        exclusive="filenames",
    ),
    Option(
        _OUTPUT,
        _FILENAMES,
        "--unique-filenames",
        "+fu",
        "modality, X and a new UID",
        sets={"filenames": "unique"},
        exclusive="filenames",
    ),
    Option(
        _OUTPUT,
        _FILENAMES,
        "--short-unique-names",
        "+fsu",
        "modality and 16 random hexadecimal digits",
        sets={"filenames": "short-unique"},
        exclusive="filenames",
    ),
    Option(
        _OUTPUT,
        _FILENAMES,
        "--system-time-names",
        "+fst",
        "time of arrival and modality",
        sets={"filenames": "system-time"},
        exclusive="filenames",
    ),
    Option(
        _OUTPUT,
        _FILENAMES,
        "--layout",
        "",
        "directories and names by pattern p instead, like\n'{PatientID}/{StudyDate:%Y/%m}/{SOPInstanceUID}.dcm'",
        values=(Value("pattern"),),
        key="layout",
    ),
    Option(
        _OUTPUT,
        _FILENAMES,
        "--filename-extension",
        "-fe",
        "put e behind every file name, as it is",
        values=(Value("extension"),),
        key="filename_extension",
        default="none",
    ),
    Option(
        _OUTPUT,
        _FILENAMES,
        "--on-duplicate",
        "",
        "if a file of that name is there: leave equal content,\n"
        "else overwrite, keep, rename or refuse\n"
        "(default: overwrite without looking)",
        values=(Value("action", "choice", choices=("overwrite", "keep", "rename", "refuse")),),
        key="on_duplicate",
    ),
    Option(
        _OUTPUT,
        _MODE,
        "--normal",
        "-B",
        "store what can be read to its end (default)",
        sets={"storage_mode": "normal", "ignore": False},
        exclusive="mode",
    ),
    Option(
        _OUTPUT,
        _MODE,
        "--bit-preserving",
        "+B",
        "store exactly what was received, unchecked",
        sets={"storage_mode": "bit-preserving", "ignore": False},
        exclusive="mode",
    ),
    Option(
        _OUTPUT,
        _MODE,
        "--ignore",
        "",
        "check what is received, store nothing",
        sets={"storage_mode": "normal", "ignore": True},
        exclusive="mode",
    ),
    Option(
        _OUTPUT,
        _MODE,
        "--strict",
        "",
        "refuse data that break rules of the standard\ninstead of storing them with a warning",
        sets={"strict": True},
    ),
    Option(
        _OUTPUT,
        _DURABILITY,
        "--fsync",
        "",
        "confirm an instance when it is safe on disk (default)",
        sets={"fsync": True},
        exclusive="fsync",
    ),
    Option(
        _OUTPUT,
        _DURABILITY,
        "--no-fsync",
        "",
        "confirm it when its file is complete",
        sets={"fsync": False},
        exclusive="fsync",
    ),
)

BY_NAME: dict[str, Option] = {name: option for option in OPTIONS for name in (option.long, option.short) if name}
"""Every built-in option by its long and by its short name."""
