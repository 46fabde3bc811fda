from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from servers import Misbehaving, Moto, forget_aws

pytest_plugins = ["dcmrecv_core.testing"]

_numbers = count(1)


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_aws(monkeypatch.setenv, monkeypatch.delenv, tmp_path)


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    server = Moto(tmp_path_factory.mktemp("moto"))
    yield server
    server.end()


@pytest.fixture
def bucket(moto: Moto) -> str:
    """An empty one."""
    return moto.make_bucket(f"bucket-{next(_numbers)}")


@pytest.fixture
def misbehaving() -> Iterator[Misbehaving]:
    server = Misbehaving()
    yield server
    server.end()
