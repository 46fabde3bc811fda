"""A PostgreSQL server for all tests of this folder, each with a database of its own."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from dcmrecv_core.delivery.postgresql.database import SCHEMA
from support.programs.postgresql import running_server


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with running_server() as running:
        yield running.url


@pytest.fixture
def postgresql(server: str) -> str:
    """The URL of a database without tables."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("SET client_min_messages = warning")
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE".encode())
    return server
