"""The appenders of log4cplus as handlers of Python's logging."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from typing import Final, NamedTuple

from dcmrecv_core.logs import filters, layouts
from dcmrecv_core.logs.console import STDERR, STDOUT, ConsoleHandler, complain
from dcmrecv_core.logs.files import (
    MIN_ROLLING_SIZE,
    SCHEDULES,
    DailyRollingFileHandler,
    FileHandler,
    RollingFileHandler,
)
from dcmrecv_core.logs.properties import Properties


class Surroundings(NamedTuple):
    """What appenders depend on beside their keys: the base of relative file names, the program's name, and the files
    that have been opened before: a reload goes on with them, even if the configuration says to truncate."""

    directory: str
    program: str
    opened: set[str]


def make(name: str, kind: str, properties: Properties, surroundings: Surroundings) -> logging.Handler | None:
    """The appender `name`; None, and a line on standard error, if it cannot be made."""
    if kind == "log4cplus::AsyncAppender":  # its own threshold and filters count for nothing there either
        return make(name, properties.get("Appender", ""), properties.below("Appender."), surroundings)
    factory = _KINDS.get(kind)
    if factory is None:
        complain(f"PropertyConfigurator::configureAppenders()- Cannot find AppenderFactory: {kind}")
        return None
    if factory in _FILES and not properties.get("File"):
        complain("Invalid filename")
        return logging.NullHandler()
    try:
        handler = factory(properties, surroundings)
    except (ValueError, OSError) as error:
        complain(f"PropertyConfigurator::configureAppenders()- Failed to create appender: {name} {error}")
        return None
    threshold = filters.level_of(properties.get("Threshold", ""))
    if threshold is not None:
        handler.setLevel(threshold)
    chain = filters.chain(properties.below("filters."))
    if chain is not None:
        handler.addFilter(chain)
    handler.setFormatter(
        layouts.layout(properties.get("layout", "log4cplus::SimpleLayout"), properties.below("layout."))
    )
    return handler


def _console(properties: Properties, surroundings: Surroundings) -> logging.Handler:
    return ConsoleHandler(STDERR if properties.flag("logToStdErr") else STDOUT)


def _file(properties: Properties, surroundings: Surroundings) -> logging.Handler:
    path = _path(properties, surroundings)
    return FileHandler(path, truncate=_truncates(path, properties, surroundings, append=False))


def _rolling_file(properties: Properties, surroundings: Surroundings) -> logging.Handler:
    path = _path(properties, surroundings)
    size = properties.number("MaxFileSize", 10 << 20)
    unit = re.search("(KB|MB)$", properties.get("MaxFileSize", "").upper())
    if unit:
        size <<= 20 if unit[1] == "MB" else 10
    return RollingFileHandler(
        path,
        max_bytes=max(size, MIN_ROLLING_SIZE),
        backups=properties.number("MaxBackupIndex", 1),
        truncate=_truncates(path, properties, surroundings, append=True),
    )


def _daily_rolling_file(properties: Properties, surroundings: Surroundings) -> logging.Handler:
    path = _path(properties, surroundings)
    schedule = properties.get("Schedule", "")
    if schedule.upper() not in SCHEDULES:
        complain(f'DailyRollingFileAppender::ctor()- "Schedule" not valid: {schedule}', "WARN")
        schedule = "DAILY"
    return DailyRollingFileHandler(
        path,
        schedule=schedule.upper(),
        backups=properties.number("MaxBackupIndex", 10),
        truncate=_truncates(path, properties, surroundings, append=True),
    )


def _path(properties: Properties, surroundings: Surroundings) -> str:
    return os.path.join(surroundings.directory, properties["File"])


def _truncates(path: str, properties: Properties, surroundings: Surroundings, *, append: bool) -> bool:
    given = properties.flag("Append")
    append = append if given is None else given
    is_new = path not in surroundings.opened
    surroundings.opened.add(path)
    return is_new and not append


def _syslog(properties: Properties, surroundings: Surroundings) -> logging.Handler:
    from dcmrecv_core.logs.syslog import FACILITIES, PORT, SyslogHandler

    facility = properties.get("facility", "").lower() or "user"
    if facility not in FACILITIES:
        complain(f"Unknown syslog facility: {facility}")
        facility = "user"
    return SyslogHandler(
        properties.get("ident") or surroundings.program,
        FACILITIES[facility],
        properties.get("host", ""),
        properties.number("port", PORT),
    )


def _null(properties: Properties, surroundings: Surroundings) -> logging.Handler:
    return logging.NullHandler()


def _unsupported(properties: Properties, surroundings: Surroundings) -> logging.Handler:
    raise ValueError("not supported; a SysLogAppender with a host sends records over the network")


_FILES: Final = (_file, _rolling_file, _daily_rolling_file)
_KINDS: Final[dict[str, Callable[[Properties, Surroundings], logging.Handler]]] = {
    "log4cplus::ConsoleAppender": _console,
    "log4cplus::FileAppender": _file,
    "log4cplus::RollingFileAppender": _rolling_file,
    "log4cplus::DailyRollingFileAppender": _daily_rolling_file,
    "log4cplus::SysLogAppender": _syslog,
    "log4cplus::NullAppender": _null,
    "log4cplus::SocketAppender": _unsupported,
    "log4cplus::Log4jUdpAppender": _unsupported,
}
