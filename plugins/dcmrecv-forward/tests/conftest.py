from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from peers import Peers

from support.programs.certificates import Certificates

pytest_plugins = ["dcmrecv_core.testing"]


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[Peers]:
    """Starts destinations; all are ended when the test is over."""
    started = Peers(tmp_path)
    yield started
    started.end()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))
