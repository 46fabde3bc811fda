"""Where the code under test comes from: the installed wheel (tox), else the source tree."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

for name, place in (("dcmrecv_core", ROOT), ("dcmrecv_builtin", ROOT / "plugins")):
    if find_spec(name) is None:
        sys.path.append(str(place))


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Undoes what a test sets up in Python's logging."""
    root = logging.getLogger()
    handlers, level, factory = root.handlers[:], root.level, logging.getLogRecordFactory()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.setLogRecordFactory(factory)
    logging.getLogger("dcmrecv").setLevel(logging.NOTSET)


@pytest.fixture
def in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing compiled is used, installed or not: the test is about what it would take over."""
    from dcmrecv_core import compiled

    monkeypatch.setattr(compiled, "AVAILABLE", False)


@pytest.fixture
def modules_as_before() -> Iterator[None]:
    """Forgets the plugins that a test imports and where they were: another test may have others of the same names."""
    before, path = set(sys.modules), sys.path[:]
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if name.startswith(("site_", "dcmrecv_plugin_")):
            del sys.modules[name]
