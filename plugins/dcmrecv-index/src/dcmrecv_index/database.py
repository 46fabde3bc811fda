"""The database: where it is, and the upserts.

An upsert replaces a row by a later one only (`received`), so the order in which records come does not matter, nor how
often. Rows are written sorted by key: two writers cannot wait for each other in a circle.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import ArgumentError

from dcmrecv_index.record import Record
from dcmrecv_index.rows import Row, rows_of
from dcmrecv_index.tables import Base, Instance, Patient, QueuePosition, Series, Study

_TABLES: tuple[Table, ...] = tuple(Base.metadata.tables[t.__tablename__] for t in (Patient, Study, Series, Instance))
_POSITIONS = Base.metadata.tables[QueuePosition.__tablename__]

_LOCK_SECONDS = 30.0

_SCHEMA_LOCK = 0x64636D72  # any number that nobody else locks: two programs may make the tables at once


def sqlite_url(state_directory: Path) -> URL:
    """Where the index is if nobody says otherwise."""
    return URL.create("sqlite", database=str(state_directory.absolute() / "index.sqlite"))


def checked_url(text: str | URL) -> URL:
    """The URL of a database that can be used. Raises ValueError, with no password in it."""
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
    """The engine of a database, its tables made if they are not there. Raises ValueError, SQLAlchemyError."""
    url = checked_url(where)
    if url.drivername == "sqlite":
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, connect_args={"timeout": _LOCK_SECONDS}, hide_parameters=True)
        event.listen(engine, "connect", _set_up_sqlite)
    else:
        engine = create_engine(url, hide_parameters=True)  # names of patients have no place in a log
    with engine.begin() as connection:
        if url.drivername != "sqlite":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})")
        Base.metadata.create_all(connection)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _: object) -> None:
    with closing(connection.cursor()) as cursor:
        cursor.execute("PRAGMA journal_mode = WAL")  # who reads does not wait for who writes
        cursor.execute("PRAGMA synchronous = FULL")  # the queue's line is gone when a commit has returned
        cursor.execute("PRAGMA foreign_keys = ON")


def upsert(connection: Connection, records: Iterable[Record]) -> None:
    """Write the rows of all records, in the transaction of `connection`."""
    of_tables: tuple[dict[tuple[Any, ...], Row], ...] = ({}, {}, {}, {})
    for record in records:
        for table, latest, row in zip(_TABLES, of_tables, rows_of(record), strict=True):
            key = tuple(row[column.name] for column in table.primary_key)
            if key not in latest or latest[key]["received"] <= row["received"]:
                latest[key] = row
    for table, latest in zip(_TABLES, of_tables, strict=True):
        if latest:
            _upsert(connection, table, [latest[key] for key in sorted(latest)], only_later=True)


def positions(connection: Connection) -> dict[str, int]:
    """How much of each queue file is in the database."""
    return {row.name: row.position for row in connection.execute(_POSITIONS.select())}


def set_positions(connection: Connection, reached: Mapping[str, int]) -> None:
    rows = [{"name": name, "position": position} for name, position in sorted(reached.items())]
    if rows:
        _upsert(connection, _POSITIONS, rows, only_later=False)


def forget_positions(connection: Connection, names: Iterable[str]) -> None:
    """Of queue files that are gone."""
    for name in names:
        connection.execute(_POSITIONS.delete().where(_POSITIONS.c.name == name))


def _upsert(connection: Connection, table: Table, rows: list[Row], *, only_later: bool) -> None:
    insert = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    values = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    where = statement.excluded.received >= table.c.received if only_later else None
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=values, where=where), rows)
