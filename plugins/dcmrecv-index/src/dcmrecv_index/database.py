"""The database: where it is, and the upserts.

One program writes at a time, so that each sees which patient a study belongs to. The feeder replaces rows by those of
later records, whatever the clock said; a rescan does not know their order, and replaces rows by those with a later time
(`received`) only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import ArgumentError

from dcmrecv_index import conflicts
from dcmrecv_index.conflicts import Contradiction, Owners
from dcmrecv_index.record import Record
from dcmrecv_index.rows import Row, rows_of
from dcmrecv_index.tables import Base, Conflict, Instance, Patient, QueuePosition, Series, Study

_TABLES: tuple[Table, ...] = tuple(Base.metadata.tables[t.__tablename__] for t in (Patient, Study, Series, Instance))
_CONFLICTS = Base.metadata.tables[Conflict.__tablename__]
_POSITIONS = Base.metadata.tables[QueuePosition.__tablename__]

_LOCK_SECONDS = 30.0

# arbitrary numbers that other programs do not lock: two programs may make the tables, or write, at once
_SCHEMA_LOCK = 0x64636D72
_WRITE_LOCK = 0x64636D73


def sqlite_url(state_directory: Path) -> URL:
    """Where the index is by default."""
    return URL.create("sqlite", database=str(state_directory.absolute() / "index.sqlite"))


def checked_url(text: str | URL) -> URL:
    """The URL of a database that can be used. Raises ValueError without the URL's password in its text."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError("not a database URL (postgresql://USER@HOST/DATABASE, sqlite:////PATH)") from None
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "postgresql+psycopg"):
        raise ValueError(f"{url.drivername} is not supported, only sqlite and postgresql are")
    if url.drivername == "sqlite" and url.database in (None, "", ":memory:"):
        raise ValueError("an SQLite database needs a file: sqlite:////PATH")
    try:
        url.get_dialect().import_dbapi()
    except ImportError as error:
        raise ValueError(f"{error}; install dcmrecv-index[postgresql]") from None
    return url


def connect(where: str | URL) -> Engine:
    """The engine of a database; makes tables that are missing. Raises ValueError, SQLAlchemyError."""
    url = checked_url(where)
    if url.drivername == "sqlite":
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, connect_args={"timeout": _LOCK_SECONDS}, hide_parameters=True)
        event.listen(engine, "connect", _set_up_sqlite)
    else:
        engine = create_engine(url, hide_parameters=True)  # no names of patients in logs
    with engine.begin() as connection:
        if url.drivername != "sqlite":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})")
        Base.metadata.create_all(connection)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _: object) -> None:
    with closing(connection.cursor()) as cursor:
        cursor.execute("PRAGMA journal_mode = WAL")  # readers do not wait for the writer
        cursor.execute("PRAGMA synchronous = FULL")  # the queue's line is removed after the commit
        cursor.execute("PRAGMA foreign_keys = ON")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction in which no other program writes. Raises SQLAlchemyError."""
    with engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITE_LOCK})")
        yield connection


def upsert(connection: Connection, records: Iterable[Record], *, only_later: bool = False) -> list[Contradiction]:
    """Write the rows of all records, given in their order, in the transaction of `writing`.

    With `only_later` rows of a later time stay as they are. Returns the contradictions between records and index; pass
    them to `conflicts.warn` after the commit.
    """
    rows = [rows_of(record) for record in records]
    owners = Owners(connection, rows)
    of_tables: tuple[dict[tuple[Any, ...], Row], ...] = ({}, {}, {}, {})
    found: dict[str, Contradiction | None] = {}
    for each in rows:
        claimed, contradiction = owners.claim(each)
        for table, latest, row in zip(_TABLES, of_tables, claimed, strict=True):
            if row is None:
                continue
            key = tuple(row[column.name] for column in table.primary_key)
            if key not in latest or not only_later or latest[key]["received"] <= row["received"]:
                latest[key] = row
                if table is _TABLES[-1]:
                    found[row["sop_instance_uid"]] = contradiction
    for table, latest in zip(_TABLES, of_tables, strict=True):
        _upsert(connection, table, [latest[key] for key in sorted(latest)], only_later=only_later)
    contradictions = conflicts.current(connection, filter(None, found.values()))
    sound = [row for row in of_tables[-1].values() if not found[row["sop_instance_uid"]]]
    conflicts.delete_resolved(connection, sound, only_later=only_later)
    _upsert(connection, _CONFLICTS, [each.row for each in contradictions], only_later=only_later)
    return conflicts.move(connection, contradictions)


def positions(connection: Connection) -> dict[str, int]:
    """How much of each queue file is in the database."""
    return {row.name: row.position for row in connection.execute(_POSITIONS.select())}


def set_positions(connection: Connection, reached: Mapping[str, int]) -> None:
    rows = [{"name": name, "position": position} for name, position in sorted(reached.items())]
    _upsert(connection, _POSITIONS, rows, only_later=False)


def forget_positions(connection: Connection, names: Iterable[str]) -> None:
    """Delete the positions of queue files that are gone."""
    for name in names:
        connection.execute(_POSITIONS.delete().where(_POSITIONS.c.name == name))


def _upsert(connection: Connection, table: Table, rows: Sequence[Row], *, only_later: bool) -> None:
    if not rows:
        return
    insert = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    values = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    where = statement.excluded.received >= table.c.received if only_later else None
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=values, where=where), rows)
