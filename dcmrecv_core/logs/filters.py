"""The filters of an appender: a chain that is asked in order, until one accepts or denies a record."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from dcmrecv_core.logs.console import complain
from dcmrecv_core.logs.properties import Properties
from dcmrecv_core.logs.records import LEVELS, level_name

Decision = Callable[[logging.LogRecord], bool | None]
"""True accepts a record, False denies it, None leaves it to the next filter."""


def level_of(text: str) -> int | None:
    """The number of a level by its name, in upper or lower case; None for anything else."""
    return LEVELS.get(text.lower())


def filter_chain(properties: Properties) -> Callable[[logging.LogRecord], bool] | None:
    """The filters `1`, `2` ... of an appender as one; None if it has none. A record that no filter denies is taken."""
    decisions = []
    number = 1
    while (kind := properties.get(str(number))) is not None:
        make = _KINDS.get(kind)
        if make is None:
            complain(f"Appender::ctor()- Cannot find FilterFactory: {kind}")
        else:
            decisions.append(make(properties.below(f"{number}.")))
        number += 1
    if not decisions:
        return None

    def takes(record: logging.LogRecord) -> bool:
        return next((verdict for decide in decisions if (verdict := decide(record)) is not None), True)

    return takes


def _deny_all(properties: Properties) -> Decision:
    return lambda record: False


def _level_match(properties: Properties) -> Decision:
    wanted, verdict = level_of(properties.get("LogLevelToMatch", "")), bool(properties.flag("AcceptOnMatch"))
    return lambda record: verdict if _level(record) == wanted else None


def _level_range(properties: Properties) -> Decision:
    least = level_of(properties.get("LogLevelMin", "")) or 0
    most = level_of(properties.get("LogLevelMax", "")) or LEVELS["off"]
    verdict = True if properties.flag("AcceptOnMatch") else None
    return lambda record: verdict if least <= _level(record) <= most else False


def _string_match(properties: Properties) -> Decision:
    wanted, verdict = properties.get("StringToMatch", ""), bool(properties.flag("AcceptOnMatch"))
    return lambda record: verdict if wanted and wanted in record.getMessage() else None


def _level(record: logging.LogRecord) -> int:
    """DCMTK's level: plugins may log at any number."""
    return LEVELS[level_name(record.levelno).lower()]


_KINDS: Final[dict[str, Callable[[Properties], Decision]]] = {
    "log4cplus::spi::DenyAllFilter": _deny_all,
    "log4cplus::spi::LogLevelMatchFilter": _level_match,
    "log4cplus::spi::LogLevelRangeFilter": _level_range,
    "log4cplus::spi::StringMatchFilter": _string_match,
}
