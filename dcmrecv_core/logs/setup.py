"""Log lines as DCMTK writes them: `W: text` on stderr, or as `--log-config` configures them.

Loggers: "dcmrecv" for the receiver, "dcmrecv.net", "dcmrecv.receive", "dcmrecv.tls", "dcmrecv.plugins" for its parts.
The handler is that of Python's root logger, so that records of plugins' own loggers have the same format.

Peers choose AE titles and UIDs. So that none of them can forge a line or drive a terminal, control characters are
escaped in every message; a line feed ends a line only in the *format*, in an argument it is escaped, too. Pass text
from peers as an argument, or through `escape_controls`.
"""

from __future__ import annotations

import codecs
import logging
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO

from dcmrecv_core.api.errors import CommandLineError
from dcmrecv_core.logs import names
from dcmrecv_core.logs.console import ConsoleHandler
from dcmrecv_core.logs.properties import PREFIX, Properties
from dcmrecv_core.logs.records import LEVELS, TRACE, EscapedLogRecord, LineFormatter
from dcmrecv_core.logs.serving import ServedFilter

if TYPE_CHECKING:
    from configparser import RawConfigParser

_NO_SETTINGS: Final = "Specified --log-config file does not contain any settings"
_NO_VALID_SETTINGS: Final = "Specified --log-config file does not contain any valid settings"


class LogSettings(Protocol):
    """The receiver's settings that concern logging."""

    @property
    def log_level(self) -> str: ...
    @property
    def log_config(self) -> str | None: ...
    @property
    def log_format(self) -> str: ...
    @property
    def verbose_pc(self) -> bool: ...
    @property
    def trace_hooks(self) -> bool: ...
    @property
    def working_directory(self) -> str: ...


class LogWiring:
    """What `-q`, `-v`, `-d`, `-ll`, `-lc` and `+v` changed in Python's logging. One per process."""

    def __init__(self) -> None:
        self._changed: dict[logging.Logger, tuple[int, bool, list[logging.Handler]]] = {}
        """For each logger that a --log-config file changed: level and propagation before, and the handlers added."""
        self._parents: dict[logging.Logger, logging.Logger | None] = {}
        """The parents that our loggers had before they were attached to DCMTK's."""
        self._opened: set[str] = set()
        self._last_resort = logging.lastResort

    def apply(self, settings: LogSettings) -> None:
        """Log as the settings say; may be called again with other settings.

        Raises CommandLineError if the file of `-lc` cannot be used.
        """
        logging.addLevelName(TRACE, "TRACE")
        logging.setLogRecordFactory(EscapedLogRecord)
        warnings.showwarning = _log_warning
        self._undo_config()
        root = logging.getLogger()
        for handler in [handler for handler in root.handlers if isinstance(handler, ConsoleHandler)]:
            root.removeHandler(handler)
        if settings.log_config is None:
            console = ConsoleHandler()
            console.setFormatter(_formatter(settings.log_format))
            root.addHandler(console)
            root.setLevel(LEVELS[settings.log_level])
        elif settings.log_format != "text":
            raise CommandLineError("--log-format not allowed with --log-config, which says the format itself")
        else:
            self._configure(read_config(settings.log_config), settings.working_directory)
        if not logging.getLogger("dcmrecv").isEnabledFor(logging.INFO):
            for name, wanted in (("--verbose-pc", settings.verbose_pc), ("--trace-hooks", settings.trace_hooks)):
                if wanted:
                    raise CommandLineError(f"{name} only allowed with verbose mode")

    def _configure(self, config: dict[str, Any] | RawConfigParser | Properties, directory: str) -> None:
        before = {logger: (logger.level, logger.propagate, logger.handlers[:]) for logger in _loggers()}
        try:
            if isinstance(config, Properties):
                from dcmrecv_core.logs import log4cplus

                self._parents = names.attach_to_dcmtk()
                log4cplus.configure(config, directory, self._opened)
            else:
                _configure_python(config)
        finally:
            for logger in _loggers():
                level, propagate, handlers = before.get(logger, (logging.NOTSET, True, []))
                added = [handler for handler in logger.handlers if handler not in handlers]
                for handler in added:
                    handler.addFilter(ServedFilter())
                if added or (level, propagate) != (logger.level, logger.propagate):
                    self._changed[logger] = (level, propagate, added)

    def _undo_config(self) -> None:
        """Undo the last --log-config and close its files, which may have been rotated meanwhile."""
        for logger, parent in self._parents.items():
            logger.parent = parent
        self._parents = {}
        logging.lastResort = self._last_resort
        for logger, (level, propagate, added) in self._changed.items():
            for handler in added:
                logger.removeHandler(handler)
                handler.close()
            logger.setLevel(level)
            logger.propagate = propagate
        self._changed.clear()


def _formatter(name: str) -> logging.Formatter:
    if name == "json":
        from dcmrecv_core.logs.json_lines import JsonFormatter

        return JsonFormatter()
    return LineFormatter()


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Warnings of libraries have text from peers in them; `logging.captureWarnings` would pass it on as the format."""
    level = logging.DEBUG if _is_by_pydicom() else logging.WARNING
    logging.getLogger("py.warnings").log(level, "%s: %s", category.__name__, message)


def _is_by_pydicom() -> bool:
    """Whether pydicom makes the warning that is being shown: those quote values, so they may have patient data.

    `filename` does not tell: it is often that of pydicom's caller."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__") == "warnings":
        frame = frame.f_back
    return str(frame.f_globals.get("__name__")).startswith("pydicom.")


def read_config(path: str) -> dict[str, Any] | RawConfigParser | Properties:
    """Read a logging configuration: `logging.config`'s dictionary schema from a .toml or .json file; from other files
    log4cplus properties, or the ini format of Python's `fileConfig`.

    Raises CommandLineError with the texts of DCMTK dcmrecv, and the place of a syntax error."""
    if not os.path.exists(path) or os.path.isdir(path):
        raise CommandLineError("Specified --log-config file does not exist")
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise CommandLineError("Specified --log-config file cannot be read") from error
    try:
        config = _parse(path, content)
    except ValueError as error:
        raise CommandLineError(f"{_NO_VALID_SETTINGS}: {error}") from error
    if not config:
        raise CommandLineError(_NO_SETTINGS)
    if isinstance(config, Properties):
        _check_properties(config)
    elif not any(key in config for key in ("root", "loggers", "handlers")):
        raise CommandLineError(_NO_VALID_SETTINGS)
    return config


def _check_properties(config: Properties) -> None:
    if not any(key.startswith(PREFIX) for key in config):
        raise CommandLineError(_NO_VALID_SETTINGS)
    if PREFIX + "rootLogger" not in config:
        raise CommandLineError("Specified --log-config file does not set up log4cplus.rootLogger")


def _parse(path: str, content: bytes) -> dict[str, Any] | RawConfigParser | Properties | None:
    if not path.endswith((".toml", ".json")):
        config = Properties.parse(content)
        is_ini = not any(key.startswith(PREFIX) for key in config) and _begins_with_section(
            content.removeprefix(codecs.BOM_UTF8)
        )
        return _parse_ini(content.decode("utf-8-sig")) if is_ini else config
    text = content.decode("utf-8-sig")
    if not text.strip():
        return None
    if path.endswith(".toml"):
        import tomllib

        return tomllib.loads(text)
    import json

    config = json.loads(text)
    if not isinstance(config, dict):
        raise ValueError("not a JSON object")
    return config


def _begins_with_section(content: bytes) -> bool:
    """Whether the first line that is neither blank nor a comment is the [header] of an ini file's section."""
    lines = (line.strip() for line in content.splitlines())
    first = next((line for line in lines if line and not line.startswith((b"#", b";"))), b"")
    return first.startswith(b"[") and first.endswith(b"]")


def _parse_ini(text: str) -> RawConfigParser:
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ValueError(str(error)) from error
    return parser


def _configure_python(config: dict[str, Any] | RawConfigParser) -> None:
    # disable_existing_loggers would silence the loggers that our modules made at their import
    import logging.config

    try:
        if isinstance(config, dict):
            logging.config.dictConfig({"version": 1, "disable_existing_loggers": False} | config)
        else:
            logging.config.fileConfig(config, disable_existing_loggers=False)
    except Exception as error:  # the configuration names factories and arguments: it can raise anything
        raise CommandLineError(f"{_NO_VALID_SETTINGS}: {error}") from error


def _loggers() -> list[logging.Logger]:
    known = logging.root.manager.loggerDict.values()
    return [logging.root, *(logger for logger in known if isinstance(logger, logging.Logger))]
