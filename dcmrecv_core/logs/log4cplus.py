"""Applies a log4cplus properties file: appenders, loggers, additivity, in its order."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from typing import Final

from dcmrecv_core.api.errors import CommandLineError
from dcmrecv_core.logs import appenders, filters, names
from dcmrecv_core.logs.console import ConsoleHandler, complain
from dcmrecv_core.logs.properties import PREFIX, Properties, expand
from dcmrecv_core.logs.records import LineFormatter

_PID: Final = os.getpid()  # of the supervisor: workers set up their logging, too


def configure(config: Properties, directory: str, opened: set[str]) -> None:
    """Set up Python's logging. Relative file names mean `directory`; log files in `opened` are not truncated again.

    Mistakes are reported on standard error; only the appender or logger concerned is skipped. Raises CommandLineError
    for an unknown level of the root logger (DCMTK dcmrecv crashes) and for a ${variable} that expands without end.
    """
    program = _program()
    try:
        properties = expand(config, _variables(program)).below(PREFIX)
    except ValueError as error:
        raise CommandLineError(f"Specified --log-config file does not contain any valid settings: {error}") from error
    root_config = _words(properties.get("rootLogger", ""))
    if root_config and filters.level_of(root_config[0]) is None:
        raise CommandLineError(f"Specified --log-config file sets an unknown level for rootLogger: {root_config[0]}")
    context = appenders.AppenderContext(directory, program, opened)
    handlers: dict[str, logging.Handler] = {}
    for name, kind in (declared := properties.below("appender.")).items():
        if "." not in name:
            handler = appenders.make_appender(name, kind, declared.below(name + "."), context)
            if handler is not None:
                handlers[name] = handler
    if root_config:
        _configure_logger(logging.getLogger(), root_config, handlers)
    else:
        _configure_default(properties.get("rootLogger", ""))
    for name, text in properties.below("logger.").items():
        if words := _words(text):
            _configure_logger(names.logger_of(name), words, handlers)
        else:
            _complain_of_logger(name, text)
    for name in (additivity := properties.below("additivity.")):
        passes_on = additivity.flag(name)
        if passes_on is None:
            complain(f'Invalid Additivity value: "{additivity[name]}"', "WARN")
        else:
            names.logger_of(name).propagate = passes_on
    for name in handlers.keys() - {word for text in _appender_lists(properties) for word in _words(text)[1:]}:
        handlers[name].close()  # no logger has it, so later nothing would close it
    logging.lastResort = _NoAppenderHandler(is_quiet=not logging.getLogger().isEnabledFor(logging.ERROR))


def _appender_lists(properties: Properties) -> list[str]:
    return [properties.get("rootLogger", ""), *properties.below("logger.").values()]


def _configure_logger(logger: logging.Logger, words: list[str], handlers: dict[str, logging.Handler]) -> None:
    logger.setLevel(filters.level_of(words[0]) or logging.NOTSET)
    for word in words[1:]:
        if word in handlers:
            logger.addHandler(handlers[word])
        else:
            complain(f"PropertyConfigurator::configureLogger()- Invalid appender: {word}")


def _configure_default(text: str) -> None:
    """With an empty rootLogger log4cplus keeps its default: the console, from INFO up."""
    _complain_of_logger("root", text)
    console = ConsoleHandler()
    console.setFormatter(LineFormatter())
    logging.getLogger().addHandler(console)
    logging.getLogger().setLevel(logging.INFO)


def _complain_of_logger(name: str, text: str) -> None:
    complain(f'PropertyConfigurator::configureLogger()- Invalid config string(Logger = {name}): "{text}"')


def _words(text: str) -> list[str]:
    return [word for word in text.replace(" ", "").split(",") if word]


def _variables(program: str) -> dict[str, str]:
    now = time.localtime()
    return {
        "appname": program,
        "hostname": socket.gethostname(),
        "pid": str(_PID),
        "date": time.strftime("%Y%m%d", now),
        "time": time.strftime("%H%M%S", now),
    }


def _program() -> str:
    name = os.path.basename(sys.argv[0])
    return "dcmrecv" if name in ("", "-c", "__main__.py") else name


class _NoAppenderHandler(logging.Handler):
    """Drops the records of loggers without appender; the first time it complains, unless it `is_quiet`."""

    def __init__(self, *, is_quiet: bool) -> None:
        super().__init__()
        self._said = is_quiet

    def emit(self, record: logging.LogRecord) -> None:
        if not self._said:
            self._said = True
            complain(f"No appenders could be found for logger ({names.dcmtk_name(record.name)}).")
            complain("Please initialize the log4cplus system properly.")
