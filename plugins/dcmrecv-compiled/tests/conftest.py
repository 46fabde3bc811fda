"""Both ways are compared here, so both have to be there."""

from __future__ import annotations

import pytest

from dcmrecv_core import compiled


@pytest.fixture(autouse=True)
def compiled_parts() -> None:
    assert compiled.AVAILABLE, "dcmrecv-compiled is not installed, or of another release"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="fuzz each target for five minutes, not for three seconds")


@pytest.fixture
def seconds(pytestconfig: pytest.Config) -> float:
    """For each fuzz target."""
    return 300 if pytestconfig.getoption("--full") else 3
