"""Both ways are compared here, so both have to be there."""

from __future__ import annotations

import os

import pytest

from dcmrecv_core import compiled


@pytest.fixture(autouse=True)
def compiled_parts() -> None:
    assert compiled.AVAILABLE, "the compiled parts were not built"


@pytest.fixture
def seconds() -> float:
    """For each fuzz target."""
    return float(os.environ.get("FUZZ_SECONDS", "3"))
