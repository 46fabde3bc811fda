from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from servers import Misbehaving, forget_aws, start_versitygw

from support.servers.s3_server import S3Server, start_moto

pytest_plugins = ["dcmrecv_core.testing"]

_numbers = count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="large instances have 4 GB instead of 64 MB")


@pytest.fixture
def large_size(request: pytest.FixtureRequest) -> int:
    return 4_000_000_000 if request.config.getoption("--full") else 64_000_000


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_aws(monkeypatch.setenv, monkeypatch.delenv, tmp_path)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """moto's; if the environment has the path of the program as `VERSITYGW`, that one."""
    directory = tmp_path_factory.mktemp("server")
    program = os.environ.get("VERSITYGW")
    server = start_versitygw(program, directory) if program else start_moto(directory)
    yield server
    server.end()


@pytest.fixture
def bucket(server: S3Server) -> str:
    """An empty one."""
    return server.make_bucket(f"bucket-{next(_numbers)}")


@pytest.fixture
def misbehaving() -> Iterator[Misbehaving]:
    server = Misbehaving()
    yield server
    server.end()
