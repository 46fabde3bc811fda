from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_index.commands import main
from dcmrecv_index.database import Database, connect

pytest_plugins = ["dcmrecv_core.testing"]

Find = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An SQLite index at its default place below `tmp_path`."""
    database = connect(tmp_path / ".dcmrecv" / "index.sqlite")
    yield database
    database.close()


@pytest.fixture
def find(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Find:
    """The rows that `find` with these arguments prints as JSON."""

    def run(*arguments: str) -> list[dict[str, Any]]:
        capsys.readouterr()
        code = main(["find", "--json", "--directory", str(tmp_path), *arguments])
        rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        assert code == (0 if rows else 1)
        return rows

    return run
