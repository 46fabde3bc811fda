"""The kit's fixtures, and an archive with an index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from archive import Archive

pytest_plugins = ["dcmrecv_core.testing"]


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    """An empty one."""
    made = Archive(tmp_path, monkeypatch)
    yield made
    made.close()
