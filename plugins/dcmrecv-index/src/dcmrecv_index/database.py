"""The database, SQLite or PostgreSQL: where it is, statements, transactions, errors.

A statement is the same for both: its parameters are written `:name`. One program writes at a time, so that each sees
which patient a study belongs to. A commit is durable: what is delivered is not delivered again after a power cut.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from dcmrecv_index import schema

_LOCK_SECONDS = 30
_LOOK_SECONDS = 0.01
_BEGIN_SQLITE = ("BEGIN IMMEDIATE",)
_BEGIN_POSTGRESQL = ("BEGIN", "SELECT pg_advisory_xact_lock(1684237683)")  # a number that other programs do not lock

# SQLSTATE classes of errors that one row causes: data exception, integrity violation, program limit exceeded (a value
# too long for an index), which psycopg reports as OperationalError.
_OF_ONE_ROW = ("22", "23", "54")


class DatabaseError(Exception):
    """The database cannot be used."""


class RefusedError(Exception):
    """One record cannot be indexed, others can; the text says why, without values, which are patient data."""


def index_file(state_directory: Path) -> Path:
    """Where the index is by default."""
    return state_directory.absolute() / "index.sqlite"


def checked_url(text: str) -> str | Path:
    """The database of a URL, a file of SQLite or a URL of PostgreSQL. Raises ValueError without the URL's password."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise ValueError("not a database URL (postgresql://USER@HOST/DATABASE, sqlite:////PATH)")
    if scheme == "sqlite":
        path = rest.removeprefix("/")
        if path in ("", rest, ":memory:"):
            raise ValueError("an SQLite database needs a file: sqlite:////PATH")
        if "?" in path:
            raise ValueError("what follows the ? is not supported in the URL of an SQLite database")
        return Path(path)
    if scheme not in ("postgresql", "postgresql+psycopg"):
        raise ValueError(f"{scheme} is not supported, only sqlite and postgresql are")
    url = f"postgresql://{rest}"
    psycopg = _psycopg()
    try:
        psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        raise ValueError("not a URL of PostgreSQL (postgresql://USER@HOST/DATABASE)") from None
    return url


def _psycopg() -> Any:
    try:
        return import_module("psycopg")
    except ImportError as error:
        raise ValueError(f"{error}; install dcmrecv-index[postgresql]") from None


class Database:
    """A connection. All methods raise DatabaseError, and RefusedError if a row cannot be stored."""

    def __init__(self, where: str | Path) -> None:
        """`where` is what `checked_url` returns."""
        self.is_sqlite = isinstance(where, Path)
        self._module: Any = sqlite3 if self.is_sqlite else _psycopg()
        with self._errors():
            self._connection: Any = _open_sqlite(where) if isinstance(where, Path) else _open_postgresql(where)
        has_pipeline = not self.is_sqlite and self._module.Pipeline.is_supported()
        self._pipeline: Any = self._connection.pipeline if has_pipeline else nullcontext

    def execute(self, statement: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows that a statement returns; outside of `writing` it is a transaction of its own."""
        with self._errors():
            text = statement if self.is_sqlite else _for_postgresql(statement)
            cursor = self._connection.execute(text, values or {})
            return cursor.fetchall() if cursor.description else []

    def execute_all(self, statements: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Execute statements in one trip to the server."""
        with self._errors(), self._pipeline():
            for statement, values in statements:
                self._connection.execute(statement if self.is_sqlite else _for_postgresql(statement), values)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction in which no other program writes: committed at the end, undone by an exception."""
        try:
            self.execute_all((statement, {}) for statement in (_BEGIN_SQLITE if self.is_sqlite else _BEGIN_POSTGRESQL))
            yield
            self.execute("COMMIT")
        except BaseException:
            with suppress(self._module.Error):
                self._connection.rollback()
            raise

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part of a transaction that an exception undoes alone."""
        self.execute("SAVEPOINT part")
        try:
            yield
        except Exception:
            self.execute("ROLLBACK TO SAVEPOINT part")
            raise
        finally:
            self.execute("RELEASE SAVEPOINT part")

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._module.Error as error:
            state = getattr(error, "sqlstate", None) or ""
            of_one_row = isinstance(error, self._module.DataError | self._module.IntegrityError)
            if of_one_row or state.startswith(_OF_ONE_ROW):
                raise RefusedError(f"the database refuses it ({type(error).__name__})") from None
            raise DatabaseError(str(error).strip().partition("\n")[0]) from None


def connect(where: str | Path) -> Database:
    """Open a database; make or migrate its tables. Raises DatabaseError, ValueError for tables of a newer version."""
    if isinstance(where, Path):
        try:
            where.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError(f"{where.parent}: {error.strerror}") from None
    database = Database(where)
    try:
        schema.prepare(database)
    except BaseException:
        database.close()
        raise
    return database


def _open_sqlite(path: Path) -> Any:
    connection = sqlite3.connect(path, timeout=_LOCK_SECONDS, isolation_level=None)
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Let readers not wait for the writer. SQLite itself does not wait for others that are about to switch, too."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(_LOOK_SECONDS)


def _open_postgresql(url: str) -> Any:
    return _psycopg().connect(url, autocommit=True)


@cache
def _for_postgresql(statement: str) -> str:
    return re.sub(r":(\w+)", r"%(\1)s", statement)
