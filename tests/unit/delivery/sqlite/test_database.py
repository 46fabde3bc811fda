"""The file of the SQLite store: versions, damage, what is durable."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from dcmrecv_core.delivery.sqlite.database import VERSION, check_database, is_marked, open_database
from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.delivery.store import Queue, StoreError
from support.deliveries import event


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "delivery.sqlite"


def test_it_is_made_for_its_owner_only(path: Path) -> None:
    open_database(str(path)).close()
    assert path.stat().st_mode & 0o777 == 0o600
    open_database(str(path), make=False).close()


def test_a_missing_one_is_named(path: Path) -> None:
    with pytest.raises(StoreError, match=f"there is no {path}"):
        open_database(str(path), make=False)


def test_a_newer_version_is_refused_with_both(path: Path) -> None:
    check_database(str(path))
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(StoreError, match=rf"has version {VERSION + 1}, this dcmrecv knows versions up to {VERSION}"):
        check_database(str(path))
    assert [each.name for each in path.parent.iterdir() if "damaged" in each.name] == []


def test_a_strange_database_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE other (x)")
    connection.close()
    with pytest.raises(StoreError, match="another program's"):
        check_database(str(path))


@pytest.mark.parametrize("damage", [b"no database at all" * 500, b"SQLite format 3\0" + b"x" * 5000])
def test_a_damaged_file_is_put_aside_and_named(path: Path, caplog: pytest.LogCaptureFixture, damage: bytes) -> None:
    path.write_bytes(damage)
    check_database(str(path))
    [aside] = path.parent.glob("delivery.sqlite.damaged-*")
    assert aside.read_bytes() == damage
    assert str(aside) in caplog.text
    assert not is_marked(str(path))
    open_database(str(path), make=False).close()


def test_damaged_pages_are_an_error_of_the_store(path: Path) -> None:
    store = SqliteStore.open(str(path.parent))
    store.begin([Queue("index", "default")], 0)
    store.take_in([event(f"e{number}", uid=str(number)) for number in range(500)], {}, 0, 0.0)
    store.close()
    data = bytearray(path.read_bytes())
    data[8192:] = b"\xff" * (len(data) - 8192)
    path.write_bytes(data)
    store = SqliteStore.open(str(path.parent))
    with pytest.raises(StoreError, match="malformed"):
        store.states()
        list(store.locations_since(0.0))
    store.close()
    assert is_marked(str(path))


def test_an_exception_undoes_the_transaction(path: Path) -> None:
    database = open_database(str(path))
    with pytest.raises(KeyError), database.writing(durable=False) as db:
        db.execute("INSERT INTO notes VALUES ('a', 'b')")
        raise KeyError
    assert database.rows("SELECT * FROM notes") == []
    with database.writing(durable=True) as db:
        db.execute("INSERT INTO notes VALUES ('a', 'b')")
    assert database.rows("SELECT * FROM notes") == [("a", "b")]
    assert database.rows("PRAGMA synchronous") == [(2,)]
    with database.writing(durable=False):
        pass
    assert database.rows("PRAGMA synchronous") == [(1,)]
    database.close()
