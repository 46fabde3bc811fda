from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from dcmrecv_index.database import connect, sqlite_url

pytest_plugins = ["dcmrecv_core.testing"]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An SQLite index at its default place below `tmp_path`."""
    engine = connect(sqlite_url(tmp_path / ".dcmrecv"))
    yield engine
    engine.dispose()
