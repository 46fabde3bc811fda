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


class AppenderContext(NamedTuple):
    """What appenders need beside their keys: the directory of relative file names, the program's name, and the files
    that were opened before: a reload does not truncate them again, whatever the configuration says."""

    directory: str
    program: str
    opened: set[str]


def make_appender(name: str, kind: str, properties: Properties, context: AppenderContext) -> logging.Handler | None:
    """The appender `name`; None, and a line on standard error, if it cannot be made."""
    if kind == "log4cplus::AsyncAppender":  # DCMTK ignores its own threshold and filters, too
        return make_appender(name, properties.get("Appender", ""), properties.below("Appender."), context)
    factory = _KINDS.get(kind)
    if factory is None:
        complain(f"PropertyConfigurator::configureAppenders()- Cannot find AppenderFactory: {kind}")
        return None
    if factory in _FILES and not properties.get("File"):
        complain("Invalid filename")
        return logging.NullHandler()
    try:
        handler = factory(properties, context)
    except (ValueError, OSError) as error:
        complain(f"PropertyConfigurator::configureAppenders()- Failed to create appender: {name} {error}")
        return None
    threshold = filters.level_of(properties.get("Threshold", ""))
    if threshold is not None:
        handler.setLevel(threshold)
    chain = filters.filter_chain(properties.below("filters."))
    if chain is not None:
        handler.addFilter(chain)
    handler.setFormatter(
        layouts.make_layout(properties.get("layout", "log4cplus::SimpleLayout"), properties.below("layout."))
    )
    return handler


def _console(properties: Properties, context: AppenderContext) -> logging.Handler:
    return ConsoleHandler(STDERR if properties.flag("logToStdErr") else STDOUT)


def _file(properties: Properties, context: AppenderContext) -> logging.Handler:
    path = _path(properties, context)
    return FileHandler(path, truncate=_truncates(path, properties, context, append=False))


def _rolling_file(properties: Properties, context: AppenderContext) -> logging.Handler:
    path = _path(properties, context)
    size = properties.number("MaxFileSize", 10 << 20)
    unit = re.search("(KB|MB)$", properties.get("MaxFileSize", "").upper())
    if unit:
        size <<= 20 if unit[1] == "MB" else 10
    return RollingFileHandler(
        path,
        max_bytes=max(size, MIN_ROLLING_SIZE),
        backups=properties.number("MaxBackupIndex", 1),
        truncate=_truncates(path, properties, context, append=True),
    )


def _daily_rolling_file(properties: Properties, context: AppenderContext) -> logging.Handler:
    path = _path(properties, context)
    schedule = properties.get("Schedule", "")
    if schedule.upper() not in SCHEDULES:
        complain(f'DailyRollingFileAppender::ctor()- "Schedule" not valid: {schedule}', "WARN")
        schedule = "DAILY"
    return DailyRollingFileHandler(
        path,
        schedule=schedule.upper(),
        backups=properties.number("MaxBackupIndex", 10),
        truncate=_truncates(path, properties, context, append=True),
    )


def _path(properties: Properties, context: AppenderContext) -> str:
    return os.path.join(context.directory, properties["File"])


def _truncates(path: str, properties: Properties, context: AppenderContext, *, append: bool) -> bool:
    given = properties.flag("Append")
    append = append if given is None else given
    is_new = path not in context.opened
    context.opened.add(path)
    return is_new and not append


def _syslog(properties: Properties, context: AppenderContext) -> logging.Handler:
    from dcmrecv_core.logs.syslog import FACILITIES, PORT, SyslogHandler

    facility = properties.get("facility", "").lower() or "user"
    if facility not in FACILITIES:
        complain(f"Unknown syslog facility: {facility}")
        facility = "user"
    return SyslogHandler(
        properties.get("ident") or context.program,
        FACILITIES[facility],
        properties.get("host", ""),
        properties.number("port", PORT),
    )


def _null(properties: Properties, context: AppenderContext) -> logging.Handler:
    return logging.NullHandler()


def _unsupported(properties: Properties, context: AppenderContext) -> logging.Handler:
    raise ValueError("not supported; a SysLogAppender with a host sends records over the network")


_FILES: Final = (_file, _rolling_file, _daily_rolling_file)
_KINDS: Final[dict[str, Callable[[Properties, AppenderContext], logging.Handler]]] = {
    "log4cplus::ConsoleAppender": _console,
    "log4cplus::FileAppender": _file,
    "log4cplus::RollingFileAppender": _rolling_file,
    "log4cplus::DailyRollingFileAppender": _daily_rolling_file,
    "log4cplus::SysLogAppender": _syslog,
    "log4cplus::NullAppender": _null,
    "log4cplus::SocketAppender": _unsupported,
    "log4cplus::Log4jUdpAppender": _unsupported,
}
