"""Log records: levels with DCMTK's names, messages in which control characters are escaped, DCMTK's lines."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

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
"""The levels of `--log-level` and of log4cplus in lower case (any case is accepted), as Python's numbers."""

_NAMES: Final = (
    (logging.CRITICAL, "FATAL"),
    (logging.ERROR, "ERROR"),
    (logging.WARNING, "WARN"),
    (logging.INFO, "INFO"),
    (logging.DEBUG, "DEBUG"),
)

# C0, DEL, C1 and the two Unicode line separators
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    0x09: "\\t",
    0x0A: "\\n",
    0x0D: "\\r",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}
_CONTROLS_BUT_LINE_FEED: Final = {code: text for code, text in _CONTROLS.items() if code != 0x0A}


def level_name(level: int) -> str:
    """DCMTK's name of the highest level that is not above `level`: FATAL, ERROR, WARN, INFO, DEBUG or TRACE."""
    for least, name in _NAMES:
        if level >= least:
            return name
    return "TRACE"


def escape_controls(text: str) -> str:
    """`text` on one line: every control character as a backslash sequence."""
    return text if text.isprintable() else text.translate(_CONTROLS)


def escape_controls_by_line(text: str) -> str:
    """`text` with every control character except line feeds as a backslash sequence."""
    return text if text.isprintable() else text.translate(_CONTROLS_BUT_LINE_FEED)


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
    """The str() or repr() of a plugin's exception may raise, too; the exception must be logged all the same."""
    try:
        return escape_controls(describe(value))
    except Exception as error:
        return f"<{type(value).__name__}, whose {describe.__name__}() raises {type(error).__name__}>"


def _safe(value: Any) -> Any:
    if isinstance(value, str):
        return escape_controls(value)
    return value if isinstance(value, (int, float)) else _Escaped(value)


class EscapedLogRecord(logging.LogRecord):
    """A log record whose message is escaped, whatever formatter the logging configuration has."""

    def getMessage(self) -> str:
        text = str(self.msg)
        args: Any = self.args
        if args:
            if isinstance(args, Mapping):
                text %= {key: _safe(value) for key, value in args.items()}
            else:
                text %= tuple(map(_safe, args))
        return escape_controls_by_line(text)


def traceback_of(record: logging.LogRecord, formatter: logging.Formatter) -> str:
    """The traceback in a record, escaped; "" if it has none."""
    text = record.exc_text or (formatter.formatException(record.exc_info) if record.exc_info else "")
    return escape_controls_by_line(text)


class LogLayout(logging.Formatter):
    """A formatter that adds the line feeds itself."""


class BytesHandler(logging.Handler):
    """A handler that writes bytes."""

    def encoded(self, record: logging.LogRecord) -> bytes | None:
        """The record as text with its line feed; None if it cannot be formatted: a log call with wrong arguments must
        not fail the operation that it reports."""
        try:
            text = self.format(record)
            if not isinstance(self.formatter, LogLayout):
                text += "\n"
            return text.encode("utf-8", "backslashreplace")
        except Exception:
            self.handleError(record)
            return None


class LineFormatter(logging.Formatter):
    """Puts the first letter of the level before each line of the message, and of the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if trace := traceback_of(record, self):
            text += f"\n{trace}"
        prefix = level_name(record.levelno)[0] + ": "
        return prefix + text.replace("\n", "\n" + prefix)
