"""Log lines as DCMTK writes them: `W: text` on stderr, nothing else.

Loggers: "dcmrecv" is the receiver's, "dcmrecv.net", "dcmrecv.receive", "dcmrecv.plugins" its parts. The handler sits on
Python's root logger, so that what plugins log through loggers of their own looks the same.

Peers choose AE titles and UIDs. So that none of them can forge a line or drive a terminal, control characters are
escaped in every message; a line feed ends a line only where the *format* has it, one in an argument is escaped too.
Give text from peers as argument, or through `escape`.
"""

from __future__ import annotations

import logging
import os
import select
import stat
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from dcmrecv_core.errors import CommandLineError
from dcmrecv_core.settings import Settings

if TYPE_CHECKING:
    from configparser import RawConfigParser

TRACE: Final = 5

LEVELS: Final = {
    "off": logging.CRITICAL + 10,
    "fatal": logging.CRITICAL,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": TRACE,
    "all": TRACE,
}
"""The levels of `--log-level` in lower case (any case is accepted) and of `Settings.log_level`."""

_LETTERS: Final = ((logging.CRITICAL, "F"), (logging.ERROR, "E"), (logging.WARNING, "W"), (logging.INFO, "I"))

# C0, DEL, C1 and the two Unicode line separators
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    0x09: "\\t",
    0x0A: "\\n",
    0x0D: "\\r",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}
_CONTROLS_BUT_LINE_FEED: Final = {code: text for code, text in _CONTROLS.items() if code != 0x0A}

_NO_SETTINGS: Final = "Specified --log-config file does not contain any settings"
_NO_VALID_SETTINGS: Final = "Specified --log-config file does not contain any valid settings"


def escape(text: str) -> str:
    """`text` on one line: every control character as a backslash sequence, anything else as it is."""
    return text if text.isprintable() else text.translate(_CONTROLS)


class _Escaped:
    """Wraps an argument that is not text, so that %s, %r and %a of it come out escaped."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return _described(str, self._value)

    def __repr__(self) -> str:
        return _described(repr, self._value)


def _described(describe: Callable[[object], str], value: object) -> str:
    """A plugin's exception may not even be able to say what it is; that it was raised must be logged all the same."""
    try:
        return escape(describe(value))
    except Exception as error:
        return f"<{type(value).__name__}, whose {describe.__name__}() raises {type(error).__name__}>"


def _safe(value: Any) -> Any:
    if isinstance(value, str):
        return escape(value)
    return value if isinstance(value, (int, float)) else _Escaped(value)


class Record(logging.LogRecord):
    """A log record whose message is escaped, whatever formatter a logging configuration chooses."""

    def getMessage(self) -> str:
        text = str(self.msg)
        args: Any = self.args
        if args:
            if isinstance(args, Mapping):
                text %= {key: _safe(value) for key, value in args.items()}
            else:
                text %= tuple(map(_safe, args))
        return text if text.isprintable() else text.translate(_CONTROLS_BUT_LINE_FEED)


class LineFormatter(logging.Formatter):
    """Each line of the message, and of the traceback if there is one, behind the first letter of its level."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info).translate(_CONTROLS_BUT_LINE_FEED)
        prefix = _letter(record.levelno) + ": "
        return prefix + text.replace("\n", "\n" + prefix)


class StderrHandler(logging.Handler):
    """Writes a record to file descriptor 2 with one system call, so that records of several processes never mix
    (POSIX promises it for pipes up to PIPE_BUF, Linux keeps it for files and terminals).

    Waits for no reader: records for which a pipe has no room are counted and left out. (O_NONBLOCK would say that more
    simply, but belongs to the open file, and so to every process that shares it.)
    """

    def __init__(self) -> None:
        super().__init__()
        self._poll = select.poll()
        self._poll.register(2, select.POLLOUT)
        # what a pipe or socket that polls writable takes without waiting; a file takes all
        self._at_once = sys.maxsize if _is_file(2) else select.PIPE_BUF
        self._left_out = 0
        self._cut = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record) + "\n"
            if self._left_out:
                text = f"W: {self._left_out} log records left out, for nobody has read them\n{text}"
            rest = ("\n" * self._cut + text).encode("utf-8", "backslashreplace")
        except Exception:  # a log call with wrong arguments must not fail the operation that it reports
            self.handleError(record)
            return
        try:
            whole = len(rest)
            while rest and self._poll.poll(0):
                rest = rest[os.write(2, rest[: self._at_once]) :]
            if len(rest) < whole:
                self._cut = bool(rest)
                self._left_out = 0
            self._left_out += bool(rest)
        except OSError:
            # Nobody is left to be told that stderr is closed or full; receiving goes on.
            return


def _is_file(fd: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:
        return False


def _letter(level: int) -> str:
    for least, letter in _LETTERS:
        if level >= least:
            return letter
    return "D" if level >= logging.DEBUG else "T"


def setup(settings: Settings) -> None:
    """Log as `-q`, `-v`, `-d`, `-ll`, `-lc` and `+v` say; may be called again with other settings.

    Raises CommandLineError if the file of `-lc` cannot be used.
    """
    logging.addLevelName(TRACE, "TRACE")
    logging.setLogRecordFactory(Record)
    _undo_config()
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, StderrHandler)]:
        root.removeHandler(handler)
    if settings.log_config is None:
        handler = StderrHandler()
        handler.setFormatter(LineFormatter())
        root.addHandler(handler)
        root.setLevel(LEVELS[settings.log_level])
    else:
        _configure(read_config(settings.log_config))
    if not logging.getLogger("dcmrecv").isEnabledFor(logging.INFO):
        for name, wanted in (("--verbose-pc", settings.verbose_pc), ("--trace-hooks", settings.trace_hooks)):
            if wanted:
                raise CommandLineError(f"{name} only allowed with verbose mode")


def read_config(path: str) -> dict[str, Any] | RawConfigParser:
    """Read a Python logging configuration: `logging.config`'s dictionary schema from a .toml or .json file, else the
    ini format of its `fileConfig`. Raises CommandLineError with dcmrecv's texts, and the place of a syntax error."""
    if not os.path.exists(path) or os.path.isdir(path):
        raise CommandLineError("Specified --log-config file does not exist")
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise CommandLineError("Specified --log-config file cannot be read") from error
    try:
        config = _parse(path, content.decode("utf-8"))
    except ValueError as error:
        raise CommandLineError(f"{_NO_VALID_SETTINGS}: {error}") from error
    if not config:
        raise CommandLineError(_NO_SETTINGS)
    if not any(key in config for key in ("root", "loggers", "handlers")):
        raise CommandLineError(_NO_VALID_SETTINGS)
    return config


def _parse(path: str, text: str) -> dict[str, Any] | RawConfigParser | None:
    if not text.strip():
        return None
    if path.endswith(".toml"):
        import tomllib

        return tomllib.loads(text)
    if path.endswith(".json"):
        import json

        config = json.loads(text)
        if not isinstance(config, dict):
            raise ValueError("not a JSON object")
        return config
    return _parse_ini(text)


def _parse_ini(text: str) -> RawConfigParser | None:
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ValueError(str(error)) from error
    return parser if parser.sections() else None


def _configure(config: dict[str, Any] | RawConfigParser) -> None:
    # disable_existing_loggers would silence the loggers that our modules made when they were imported
    import logging.config

    before = {logger: (logger.level, logger.propagate, logger.handlers[:]) for logger in _loggers()}
    try:
        if isinstance(config, dict):
            logging.config.dictConfig({"version": 1, "disable_existing_loggers": False} | config)
        else:
            logging.config.fileConfig(config, disable_existing_loggers=False)
    except Exception as error:  # the configuration names factories and arguments: it can raise anything
        raise CommandLineError(f"{_NO_VALID_SETTINGS}: {error}") from error
    finally:
        for logger in _loggers():
            level, propagate, handlers = before.get(logger, (logging.NOTSET, True, []))
            added = [handler for handler in logger.handlers if handler not in handlers]
            if added or (level, propagate) != (logger.level, logger.propagate):
                _configured[logger] = (level, propagate, added)


_configured: Final[dict[logging.Logger, tuple[int, bool, list[logging.Handler]]]] = {}
"""What a --log-config file changed: level and propagation before it, and the handlers that it added."""


def _loggers() -> list[logging.Logger]:
    known = logging.root.manager.loggerDict.values()
    return [logging.root, *(logger for logger in known if isinstance(logger, logging.Logger))]


def _undo_config() -> None:
    """Let go of what the last --log-config did, its open files too: they may have been rotated away."""
    for logger, (level, propagate, added) in _configured.items():
        for handler in added:
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(level)
        logger.propagate = propagate
    _configured.clear()
