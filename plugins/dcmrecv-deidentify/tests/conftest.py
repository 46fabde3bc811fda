from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from treated import Site

pytest_plugins = ["dcmrecv_core.testing"]


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Site]:
    """Makes a configured plugin, with an output directory and a key beside it."""
    output = tmp_path / "output"
    output.mkdir()

    def make(*options: str, **others: Any) -> Site:
        return Site(tmp_path, options, **others)

    return make
