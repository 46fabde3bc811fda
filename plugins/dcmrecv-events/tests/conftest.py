from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from nats_server import NatsServer

pytest_plugins = ["dcmrecv_core.testing"]


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A running server with a stream for the subject `dicom`."""
    server = NatsServer(tmp_path / "nats")
    server.start()
    server.make_stream("dicom")
    yield server
    server.end()
