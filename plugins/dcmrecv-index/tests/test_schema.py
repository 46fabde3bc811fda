"""The tables: made, migrated from those of earlier versions, refused if a later one has made them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from old_version import OLD_ROWS, OLD_TABLES, old_database

from dcmrecv_core.testing import fake_event, sample_dataset
from dcmrecv_index import schema
from dcmrecv_index.commands import main
from dcmrecv_index.database import Database, connect
from dcmrecv_index.record import record_of_event
from dcmrecv_index.write import write

Find = Callable[..., list[dict[str, Any]]]

FIND = "SELECT sop_instance_uid, calling_ae_title, called_ae_title, peer_address, digest FROM instances ORDER BY 1"


def columns(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Columns and indexes of all tables but the queue's."""
    names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    told = {
        name: database.execute(f"SELECT name, type, \"notnull\", pk FROM pragma_table_info('{name}')") for name in names
    }
    indexes = database.execute("SELECT name, tbl_name FROM sqlite_master WHERE name LIKE 'ix%' ORDER BY 1")
    told.pop("queue_positions", None)
    return {**told, "indexes": indexes}


@pytest.mark.parametrize("without", [(), ("conflicts",)], ids=["0.1", "before conflicts"])
def test_a_database_of_the_version_before_is_migrated(tmp_path: Path, without: tuple[str, ...]) -> None:
    old_database(tmp_path / "index.sqlite", without)
    with closing(connect(tmp_path / "fresh.sqlite")) as fresh, closing(connect(tmp_path / "index.sqlite")) as migrated:
        assert columns(migrated) == columns(fresh)
        assert migrated.execute("SELECT version FROM schema_version") == [(schema.VERSION,)]
        assert migrated.execute(FIND) == [("1.1", None, None, None, None), ("1.2", None, None, None, None)]
        for table in ("patients", "studies", "series", "instances"):
            rows = migrated.execute(f"SELECT * FROM {table} ORDER BY 1")
            assert [row[: len(OLD_ROWS[table][0])] for row in rows] == OLD_ROWS[table]
        event = fake_event(sample_dataset(SOPInstanceUID="1.2"))
        with migrated.writing():
            write(migrated, record_of_event(event))
        assert migrated.execute(FIND)[1] == (
            "1.2",
            event.calling_ae_title,
            event.called_ae_title,
            event.peer_address,
            None,
        )
    with closing(connect(tmp_path / "index.sqlite")) as again:
        assert len(again.execute(FIND)) == 2


def test_a_database_of_version_2_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "index.sqlite"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "VERSION", 2)
        patch.setattr(schema, "_STEPS", schema._STEPS[:1])
        connect(path).close()
    with closing(connect(tmp_path / "fresh.sqlite")) as fresh, closing(connect(path)) as migrated:
        assert columns(migrated) == columns(fresh)
        assert migrated.execute("SELECT version FROM schema_version") == [(3,)]


def test_a_migration_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "index.sqlite"
    old_database(path)

    execute = Database.execute

    def killed(database: Database, statement: str, *values: Any) -> Any:
        if "INSERT INTO schema_version" in statement:
            raise SystemExit
        return execute(database, statement, *values)

    with monkeypatch.context() as patch:
        patch.setattr(Database, "execute", killed)
        with pytest.raises(SystemExit):
            connect(path)
    with closing(sqlite3.connect(path)) as old:
        tables = {name for (name,) in old.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert tables == set(OLD_TABLES)
        assert len(old.execute("SELECT * FROM instances").fetchone()) == 8
    connect(path).close()


def test_a_reader_does_not_wait_for_a_writer(tmp_path: Path, database: Database, find: Find) -> None:
    with database.writing():
        write(database, record_of_event(fake_event()))
        assert find() == []
    assert len(find()) == 1


def test_two_programs_migrate_at_once(tmp_path: Path) -> None:
    old_database(tmp_path / "index.sqlite")
    barrier = Barrier(4, timeout=30)

    def migrate() -> int:
        barrier.wait()
        with closing(connect(tmp_path / "index.sqlite")) as database:
            return len(database.execute(FIND))

    with ThreadPoolExecutor(4) as pool:
        assert [future.result() for future in [pool.submit(migrate) for _ in range(4)]] == [2, 2, 2, 2]


def test_a_newer_version_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(connect(tmp_path / ".dcmrecv" / "index.sqlite")) as database:
        database.execute("UPDATE schema_version SET version = 47")
    assert main(["find", "--directory", str(tmp_path)]) == 2
    expected = "the index has version 47, this dcmrecv-index knows versions up to 3"
    assert capsys.readouterr().err == f"dcmrecv-index: {expected}\n"
    with pytest.raises(ValueError, match=expected):
        connect(tmp_path / ".dcmrecv" / "index.sqlite")


def test_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "text"
    path.write_text("This is no database. " * 50)
    assert main(["find", "--url", f"sqlite:///{path}"]) == 2
    assert capsys.readouterr().err == "dcmrecv-index: file is not a database\n"
    assert path.read_text().startswith("This is no database.")
