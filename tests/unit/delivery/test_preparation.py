"""The start of a receiver with a journal in PostgreSQL."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from dcmrecv_core.api.errors import StateDirectoryError
from dcmrecv_core.delivery import opening
from dcmrecv_core.delivery.opening import URL_FILE, open_store
from dcmrecv_core.delivery.postgresql.store import PostgresqlStore
from dcmrecv_core.delivery.preparation import add_queues, check, prepare
from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.delivery.store import Queue
from dcmrecv_core.settings.settings import Settings
from support.deliveries import event

QUEUES = [Queue("index", "default")]


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_known", {})


def settings(directory: Path, url: str | None) -> Settings:
    return Settings(output_directory=str(directory), state_dir=str(directory / "state"), journal=url)


def test_other_processes_find_the_database_without_its_password(postgresql: str, tmp_path: Path) -> None:
    site = settings(tmp_path, postgresql.replace("index@", "index:geheim@"))
    prepare(site)
    add_queues(site, QUEUES)
    noted = tmp_path / "state" / URL_FILE
    assert "geheim" not in noted.read_text()
    assert noted.stat().st_mode & 0o777 == 0o600
    opening._known.clear()  # as in another process
    with closing(open_store(tmp_path / "state")) as store:
        assert isinstance(store, PostgresqlStore)
        assert [each.queue for each in store.states()] == QUEUES


def test_without_the_option_it_is_forgotten(postgresql: str, tmp_path: Path) -> None:
    prepare(settings(tmp_path, postgresql))
    opening._known.clear()
    prepare(settings(tmp_path, None))
    with closing(open_store(tmp_path / "state")) as store:
        assert isinstance(store, SqliteStore)


def test_what_waits_in_the_state_directory_is_told(
    postgresql: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(settings(tmp_path, postgresql))
    prepare(settings(tmp_path, None))
    opening._known.clear()
    prepare(settings(tmp_path, postgresql))
    assert caplog.messages == []
    with closing(SqliteStore.open(str(tmp_path / "state"))) as store:
        store.begin(QUEUES, 0)
        store.take_in([event("e1")], {}, 0, 0.0)
    prepare(settings(tmp_path, postgresql))
    [line] = caplog.messages
    assert (
        line == f"deliveries wait in {tmp_path / 'state'}: they are made when the receiver is started without --journal"
    )


@pytest.mark.parametrize("step", [prepare, check])
def test_a_database_that_cannot_be_used(tmp_path: Path, step: Callable[[Settings], None]) -> None:
    with pytest.raises(StateDirectoryError, match=r"the store of deliveries cannot be used: PostgreSQL: .*/nowhere"):
        step(settings(tmp_path, "postgresql://dcmrecv@/x?host=/nowhere"))


@pytest.mark.parametrize("step", [prepare, check])
@pytest.mark.parametrize("url", ["mysql://geheim", "postgresql://dcmrecv:geheim%zz@/x", "geheim", ""])
def test_something_that_is_no_url_is_not_shown(tmp_path: Path, url: str, step: Callable[[Settings], None]) -> None:
    with pytest.raises(StateDirectoryError) as failure:
        step(settings(tmp_path, url))
    expected = "--journal is no URL like postgresql://USER@HOST/DATABASE"
    assert str(failure.value) == f"the store of deliveries cannot be used: {expected}"


def test_without_psycopg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StateDirectoryError, match=r"needs psycopg 3, .*: pip install 'dcmrecv\[postgresql\]'$"):
        prepare(settings(tmp_path, "postgresql://dcmrecv@/x"))
