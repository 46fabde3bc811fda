"""Finds the code under test: the installed wheel (tox), else the source tree. Options and results of promises."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from support.paths import ROOT
from support.promises.reporting import (
    count,
    figure,
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_terminal_summary,
)

__all__ = [
    "count",
    "figure",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_terminal_summary",
]

for name, place in (("dcmrecv_core", ROOT), ("dcmrecv_builtin", ROOT / "plugins")):
    if find_spec(name) is None:
        sys.path.append(str(place))


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Undoes what a test sets up in Python's logging."""
    root, factory, last_resort = logging.getLogger(), logging.getLogRecordFactory(), logging.lastResort
    # those that a log4cplus file attaches to DCMTK's have to be there before, with their own parents
    ours = ("dcmrecv", "dcmrecv.net", "dcmrecv.receive", "dcmrecv.tls")
    names = ["", *ours, *logging.root.manager.loggerDict]
    before = {logger: _state(logger) for logger in map(logging.getLogger, names)}
    yield
    for name in ("", *logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        level, logger.propagate, handlers, parent = before.get(logger, (logging.NOTSET, True, [], logger.parent))
        logger.handlers[:] = handlers
        logger.parent = parent if logger is not root else None
        logger.setLevel(level)
    logging.setLogRecordFactory(factory)
    logging.lastResort = last_resort


def _state(logger: logging.Logger) -> tuple[int, bool, list[logging.Handler], logging.Logger | None]:
    return logger.level, logger.propagate, logger.handlers[:], logger.parent


@pytest.fixture
def in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled parts are not used, even if installed: the test is for the code in Python."""
    from dcmrecv_core import compiled

    monkeypatch.setattr(compiled, "AVAILABLE", False)


@pytest.fixture
def modules_as_before() -> Iterator[None]:
    """Removes the plugins that a test imports: another test may import others with the same names."""
    before, path = set(sys.modules), sys.path[:]
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if name.startswith(("site_", "dcmrecv_plugin_")):
            del sys.modules[name]
