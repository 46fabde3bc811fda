"""The layouts of log4cplus: what an appender writes for a record."""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Final

from dcmrecv_core.logs.console import complain
from dcmrecv_core.logs.names import dcmtk_name
from dcmrecv_core.logs.properties import Properties
from dcmrecv_core.logs.records import LogLayout, level_name, traceback_of
from dcmrecv_core.logs.serving import served_of

Piece = Callable[[logging.LogRecord], str]
"""One part of a line; the message is `record.message`."""

DEFAULT_DATE: Final = "%Y-%m-%d %H:%M:%S"


class PatternLayout(LogLayout):
    """Formats each line of a record, and of its traceback, by a conversion pattern of log4cplus; with
    `each_line=False` the record as a whole. Lines end only where the pattern has %n."""

    def __init__(self, pattern: str, *, each_line: bool = True) -> None:
        super().__init__()
        self._pieces = _pieces(pattern)
        self._each_line = each_line

    def format(self, record: logging.LogRecord) -> str:
        text = _text(self, record)
        if not self._each_line or "\n" not in text:
            record.message = text
            return "".join([piece(record) for piece in self._pieces])
        lines = []
        for line in text.split("\n"):
            record.message = line
            lines += [piece(record) for piece in self._pieces]
        return "".join(lines)


class SimpleLayout(LogLayout):
    """`INFO - message`."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{level_name(record.levelno)} - {_text(self, record)}\n"


class TTCCLayout(LogLayout):
    """`time [thread] INFO logger <> - message`; without `date_format` the time is in milliseconds since the start."""

    def __init__(self, date_format: str = "", *, utc: bool = False) -> None:
        super().__init__()
        self._time = _date(date_format, utc=utc) if date_format else _since_start

    def format(self, record: logging.LogRecord) -> str:
        return (
            f"{self._time(record)} [{record.thread}] {level_name(record.levelno)} {dcmtk_name(record.name)} <> - "
            f"{_text(self, record)}\n"
        )


def make_layout(kind: str, properties: Properties) -> LogLayout:
    """The layout of an appender; SimpleLayout if the configuration has a mistake."""
    match kind:
        case "log4cplus::PatternLayout":
            return _pattern_layout(properties)
        case "log4cplus::TTCCLayout":
            return TTCCLayout(properties.get("DateFormat", ""), utc=bool(properties.flag("Use_gmtime")))
        case "log4cplus::SimpleLayout":
            return SimpleLayout()
    complain(f'Cannot find LayoutFactory: "{kind}"')
    return SimpleLayout()


def _pattern_layout(properties: Properties) -> LogLayout:
    pattern = properties.get("ConversionPattern")
    if pattern is None and (pattern := properties.get("Pattern")) is not None:
        complain('PatternLayout- the "Pattern" property has been deprecated.  Use "ConversionPattern" instead.', "WARN")
    if pattern is None:
        complain("ConversionPattern not specified in properties")
        complain("Error while creating Layout: ConversionPattern not specified in properties")
        return SimpleLayout()
    if not pattern:
        complain("PatternLayout pattern is empty.  Using default...", "WARN")
    return PatternLayout(pattern or "%m", each_line=properties.flag("FormatEachLine") is not False)


def _text(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    text = record.getMessage()
    if trace := traceback_of(record, formatter):
        # indented, because an exception's text could look like a line of the log if the layout does not mark each line
        text += "\n  " + trace.replace("\n", "\n  ")
    return text


_CONVERSION: Final = re.compile(
    r"%(?P<left>-*)(?P<least>[0-9]+)?(?:\.(?P<most>[0-9]+))?(?P<letter>[^-.0-9]|(?<=[0-9])-)"
)
_WIDEST: Final = 1 << 16
_WITH_OPTION: Final = "cdDX"


def _pieces(pattern: str) -> list[Piece]:
    pieces: list[Piece] = []
    literal, at = "", 0
    while at < len(pattern):
        percent = pattern.find("%", at)
        if percent < 0 or percent == len(pattern) - 1:
            literal += pattern[at:]
            break
        literal += pattern[at:percent]
        if pattern[percent + 1] == "%":
            literal, at = literal + "%", percent + 2
            continue
        match = _CONVERSION.match(pattern, percent)
        if match is None:
            text, at = _invalid_conversion(pattern, percent)
            literal += text
            continue
        letter, at = match["letter"], match.end()
        option = ""
        if letter in _WITH_OPTION and pattern[at : at + 1] == "{":
            option, at = _option(pattern, at)
        piece = _piece(letter, option)
        if piece is None:
            complain(f"Unexpected char [{letter}] at position {at} in conversion pattern.")
            literal += match[0]
            continue
        if literal:
            pieces.append(_constant(literal))
            literal = ""
        pieces.append(_sized(piece, match["left"], match["least"], match["most"]))
    if literal:
        pieces.append(_constant(literal))
    return pieces


def _option(pattern: str, at: int) -> tuple[str, int]:
    """The text in the braces that open at `at`, and where they end."""
    end = pattern.find("}", at)
    if end < 0:
        complain(f"No matching '}}' found in conversion pattern string \"{pattern}\"")
        return "", len(pattern)
    return pattern[at + 1 : end], end + 1


def _invalid_conversion(pattern: str, percent: int) -> tuple[str, int]:
    """The text of an invalid conversion, unchanged, and where it ends."""
    dot = re.compile(r"%-*[0-9]*\.(?=(.))", re.DOTALL).match(pattern, percent)
    if dot is None:
        return pattern[percent:], len(pattern)
    end = dot.end() + 1
    complain(f'Error occurred in position {end}.\n Was expecting digit, instead got char "{dot[1]}".')
    return pattern[percent:end], end


def _piece(letter: str, option: str) -> Piece | None:
    match letter:
        case "c":
            return _logger(Properties({"": option}).number("", 0))
        case "d" | "D":
            return _date(option or DEFAULT_DATE, utc=letter == "d")
        case "h":
            return _constant(socket.gethostname())
        case "H":
            return _constant(_full_host_name())
        case "i":
            return lambda record: str(os.getpid())
        case "X":
            return lambda record: served_of(record).get(option, "")
    return _SIMPLE.get(letter)


_SIMPLE: Final[dict[str, Piece]] = {
    "m": lambda record: record.message,
    "n": lambda record: "\n",
    "p": lambda record: level_name(record.levelno),
    "P": lambda record: level_name(record.levelno)[0],
    "t": lambda record: str(record.thread),
    "T": lambda record: str(threading.get_native_id()),
    "r": lambda record: str(int(record.relativeCreated)),
    "F": lambda record: record.pathname,
    "b": lambda record: record.filename,
    "L": lambda record: str(record.lineno),
    "l": lambda record: f"{record.pathname}:{record.lineno}",
    "M": lambda record: record.funcName or "",
    "x": lambda record: "",  # nested contexts, which DCMTK does not set either
}
_since_start: Final = _SIMPLE["r"]


def _constant(text: str) -> Piece:
    return lambda record: text


def _sized(piece: Piece, left: str, least: str | None, most: str | None) -> Piece:
    """The piece padded to `least` characters, and cut to its last `most`."""
    width, limit = _width(least or "0"), _width(most) if most is not None else None
    if not width and limit is None:
        return piece

    def sized(record: logging.LogRecord) -> str:
        text = piece(record)
        if limit is not None and len(text) > limit:
            return text[len(text) - limit :]
        return text.ljust(width) if left else text.rjust(width)

    return sized


def _width(digits: str) -> int:
    """The number, up to a limit: a line must not fill the memory."""
    digits = digits.lstrip("0") or "0"
    return min(int(digits), _WIDEST) if len(digits) <= 9 else _WIDEST


def _logger(count: int) -> Piece:
    """The logger's name, or its last `count` parts."""
    if count <= 0:
        return lambda record: dcmtk_name(record.name)
    return lambda record: ".".join(dcmtk_name(record.name).split(".")[-count:])


_DATE_PARTS: Final = re.compile(r"%([qQ])|((?:%[^qQ]|[^%])+)", re.DOTALL)
_FRACTIONS: Final = {"q": "{0:03d}", "Q": "{0:03d}.{1:03d}"}


def _date(pattern: str, *, utc: bool) -> Piece:
    """The record's time by `strftime`, with %q for its milliseconds and %Q for milliseconds with a fraction.

    The rest is formatted once a second only.
    """
    convert = time.gmtime if utc else time.localtime
    parts = _DATE_PARTS.findall(pattern)
    second, template = -1, ""

    def date(record: logging.LogRecord) -> str:
        nonlocal second, template
        now, micros = divmod(int(record.created * 1_000_000), 1_000_000)
        if now != second:
            local = convert(now)
            texts = (_FRACTIONS[fraction] if fraction else _escaped_for_format(text, local) for fraction, text in parts)
            second, template = now, "".join(texts)
        return template.format(*divmod(micros, 1000))

    return date


def _escaped_for_format(text: str, local: time.struct_time) -> str:
    return time.strftime(text, local).replace("{", "{{").replace("}", "}}")


@cache
def _full_host_name() -> str:
    """From the resolver, once: it may be slow."""
    name = socket.gethostname()
    try:
        return socket.getaddrinfo(name, None, flags=socket.AI_CANONNAME)[0][3] or name
    except OSError:
        return name
