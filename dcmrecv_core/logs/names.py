"""DCMTK's names for our loggers, as log4cplus files use them.

A file may configure any logger by the name that `%c` shows for it. `dcmtk.apps.dcmrecv` is our "dcmrecv" and what is
below it; `dcmtk.dcmnet` and `dcmtk.dcmtls` are not loggers of ours, but the parents of those that log what these
modules of DCMTK log.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Final

_APPLICATION: Final = ("dcmtk.apps.dcmrecv", "dcmrecv")
_PARENTS: Final = {
    "dcmrecv": "dcmtk.apps",
    "dcmrecv.net": "dcmtk.dcmnet",
    "dcmrecv.receive": "dcmtk.dcmnet",
    "dcmrecv.tls": "dcmtk.dcmtls",
}


@cache
def dcmtk_name(name: str) -> str:
    """DCMTK's name for a logger of ours; any other name unchanged."""
    for ours, theirs in _PARENTS.items():
        if ours != "dcmrecv" and (name == ours or name.startswith(ours + ".")):
            return theirs + name[len(ours) :]
    return _with_prefix(name, _APPLICATION[1], _APPLICATION[0])


def logger_of(name: str) -> logging.Logger:
    """The logger that a log4cplus file means by `name`."""
    return logging.getLogger(_with_prefix(name, *_APPLICATION))


def attach_to_dcmtk() -> dict[logging.Logger, logging.Logger | None]:
    """Put our loggers below those of DCMTK, so that they inherit levels and appenders from them; return their parents
    before that."""
    before: dict[logging.Logger, logging.Logger | None] = {}
    for ours, theirs in _PARENTS.items():
        logger = logging.getLogger(ours)
        before[logger] = logger.parent
        logger.parent = logging.getLogger(theirs)
    return before


def _with_prefix(name: str, prefix: str, other: str) -> str:
    return other + name[len(prefix) :] if name == prefix or name.startswith(prefix + ".") else name
