"""The kit's fixtures, and a server for the tests of URLs."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from endpoint import Endpoint

pytest_plugins = ["dcmrecv_core.testing"]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join(20)
