"""The database of the SQLite store: its file, its tables, transactions.

It is in WAL mode, so that readers and the one writer of a moment do not wait for each other. A commit that has to be
durable flushes the write-ahead log (`synchronous` FULL), and with it all commits before; the others are not flushed.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from dcmrecv_core.delivery.store import StoreError

log = logging.getLogger("dcmrecv.delivery")

FILE = "delivery.sqlite"
VERSION = 1
"""Of the tables, in `user_version`. A file of a newer version is refused."""

_APPLICATION_ID = 0x64637276
_BUSY_SECONDS = 30.0

_SCHEMA = """
CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files (name TEXT PRIMARY KEY, position INTEGER NOT NULL, association TEXT NOT NULL) WITHOUT ROWID;

-- record: as it is in the journal, with its checksum, at: seconds since 1970
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, study TEXT NOT NULL, series TEXT NOT NULL,
    at REAL NOT NULL, record BLOB NOT NULL
);
CREATE INDEX events_of_study ON events (study, number);

CREATE TABLE queues (
    number INTEGER PRIMARY KEY AUTOINCREMENT, plugin TEXT NOT NULL, target TEXT NOT NULL, claimed INTEGER NOT NULL,
    UNIQUE (plugin, target)
);

-- item: the number of an event, or of a completion in a queue of those
CREATE TABLE deliveries (
    queue INTEGER NOT NULL, study TEXT NOT NULL, item INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (queue, study, item)
) WITHOUT ROWID;
CREATE TABLE put_aside (
    queue INTEGER NOT NULL, study TEXT NOT NULL, item INTEGER NOT NULL, attempts INTEGER NOT NULL, reason TEXT NOT NULL,
    at REAL NOT NULL, PRIMARY KEY (queue, study, item)
) WITHOUT ROWID;

-- a study in a queue as long as it has deliveries, due: nanoseconds since the boot, owner: the process that works on it
CREATE TABLE lanes (
    queue INTEGER NOT NULL, study TEXT NOT NULL, due INTEGER NOT NULL, owner TEXT, PRIMARY KEY (queue, study)
) WITHOUT ROWID;
CREATE INDEX lanes_due ON lanes (queue, due) WHERE owner IS NULL;

-- series: "" for the study itself, done: the last event of the last revision, last: nanoseconds since the boot
CREATE TABLE studies (
    study TEXT NOT NULL, series TEXT NOT NULL, revision INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0,
    last INTEGER NOT NULL, open INTEGER NOT NULL, PRIMARY KEY (study, series)
) WITHOUT ROWID;
CREATE INDEX studies_open ON studies (last) WHERE open;
CREATE TABLE completions (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, study TEXT NOT NULL, series TEXT NOT NULL,
    revision INTEGER NOT NULL, since INTEGER NOT NULL, upto INTEGER NOT NULL, UNIQUE (study, series, revision)
);
"""


_MARK = ".unreadable"
"""The suffix of a file beside the database: a process could not read a part of it. `mending` looks at it."""


class Database:
    """A connection to the database at `path`, for one process."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self.connection = connection
        self._path = path
        self._durable: bool | None = None

    def rows(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with _as_store_error(self._path):
            return self.connection.execute(text, values).fetchall()

    def each(self, text: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, one by one."""
        with _as_store_error(self._path):
            yield from self.connection.execute(text, values)

    @contextmanager
    def writing(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        """A transaction, beside which no other process writes; committed at the end, undone if that is an exception."""
        with _as_store_error(self._path):
            if durable is not self._durable:
                self.connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._durable = durable
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        self.connection.close()


@contextmanager
def _as_store_error(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if type(error) is sqlite3.DatabaseError:
            with suppress(OSError):  # no room: the next process that meets it has another chance
                os.close(os.open(path + _MARK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        raise StoreError(str(error)) from error


def is_marked(path: str) -> bool:
    """Whether a process could not read a part of the database."""
    return os.path.exists(path + _MARK)


def unmark(path: str) -> None:
    """It is mended. Raises OSError."""
    os.unlink(path + _MARK)


def open_database(path: str, *, make: bool = True) -> Database:
    """Open the file; make it, and its tables, if it is missing and `make` says so.

    Raises StoreError: there is none, it is of a newer version, it is something else or damaged.
    """
    if not os.path.exists(path):
        if not make:
            raise StoreError(f"there is no {path}")
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with _as_store_error(path):
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    return Database(connection, path)


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    [version] = connection.execute("PRAGMA user_version").fetchone()
    [application] = connection.execute("PRAGMA application_id").fetchone()
    [tables] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version > VERSION:
        raise NewerVersionError(f"{path} has version {version}, this dcmrecv knows versions up to {VERSION}")
    if tables and application != _APPLICATION_ID:
        raise StoreError(f"{path} is another program's database")
    if not tables:
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def look_at(path: str) -> None:
    """Raise StoreError if the file is no store that this version knows; nothing is opened or changed (the header of
    SQLite's file format: user version at offset 60, application id at 68)."""
    with open(path, "rb") as file:
        header = file.read(100)
    if not header:
        return  # made a moment ago, or by an earlier start that ended there
    version, application = (int.from_bytes(header[offset : offset + 4], "big") for offset in (60, 68))
    if not header.startswith(b"SQLite format 3\0"):
        raise StoreError(f"{path} is no database: a start would put it aside")
    if application not in (0, _APPLICATION_ID):
        raise StoreError(f"{path} is another program's database")
    if version > VERSION:
        raise NewerVersionError(f"{path} has version {version}, this dcmrecv knows versions up to {VERSION}")


class NewerVersionError(StoreError):
    """A newer dcmrecv has made the file."""


def check_database(path: str) -> None:
    """For the start: a file that cannot be opened as a database is put aside, and named. Raises StoreError."""
    try:
        open_database(path).close()
    except StoreError as error:
        if not isinstance(error.__cause__, sqlite3.DatabaseError) or isinstance(
            error.__cause__, sqlite3.OperationalError
        ):
            raise
        aside = f"{path}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(path + suffix):
                os.rename(path + suffix, aside + suffix)
        text = "%s is damaged (%s): put aside as %s; what waited in it is not delivered"
        log.error(text, path, error.__cause__, aside)
        open_database(path).close()
        unmark(path)
