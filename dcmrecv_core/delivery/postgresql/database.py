"""The database of the PostgreSQL store: its connection, its tables, transactions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

from dcmrecv_core.delivery.store import StoreError
from dcmrecv_core.storage.journals.database import DEAD_HOST, SCHEMA

STATEMENT_SECONDS = 30

_SETTINGS = f"""
SET search_path = {SCHEMA};
SET client_min_messages = warning;
SET statement_timeout = '{STATEMENT_SECONDS}s';
SET idle_in_transaction_session_timeout = '{STATEMENT_SECONDS}s';
SET synchronous_commit = on
"""
"""A process that is stopped within a transaction must not hold up those of other nodes for ever."""

_LOCK = 0x64637276
"""The advisory lock of a transaction that gives events or completions their numbers. With it numbers become visible in
their order, so that "all up to this number" has a meaning; and one process at a time changes the tables' form."""

_MIGRATIONS = (
    """
CREATE TABLE notes (node text NOT NULL, key text NOT NULL, value text NOT NULL, PRIMARY KEY (node, key));

-- what workers have written, and is not taken in yet; the node that stored it
CREATE TABLE journal (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text NOT NULL UNIQUE, node text NOT NULL,
    record bytea NOT NULL
);
CREATE TABLE damaged (id text PRIMARY KEY, node text NOT NULL, record bytea NOT NULL);
CREATE TABLE associations (
    node text NOT NULL, pid integer NOT NULL, association text NOT NULL, lease timestamptz NOT NULL,
    PRIMARY KEY (node, pid)
);

-- lease, due, last: nanoseconds since 1970
CREATE TABLE nodes (node text PRIMARY KEY, lease bigint NOT NULL);

-- node: "" if any may open the location; at: seconds since 1970
CREATE TABLE events (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text NOT NULL UNIQUE, study text NOT NULL,
    series text NOT NULL, node text NOT NULL, at double precision NOT NULL, record bytea NOT NULL
);
CREATE INDEX events_of_study ON events (study, number);

CREATE TABLE queues (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, plugin text NOT NULL, target text NOT NULL,
    UNIQUE (plugin, target)
);
-- the nodes of which a plugin wants a queue
CREATE TABLE wanted (queue bigint NOT NULL, node text NOT NULL, PRIMARY KEY (queue, node));

-- item: the number of an event, or of a completion in a queue of those
CREATE TABLE deliveries (
    queue bigint NOT NULL, study text NOT NULL, item bigint NOT NULL, node text NOT NULL,
    attempts integer NOT NULL DEFAULT 0, PRIMARY KEY (queue, study, item)
);
CREATE TABLE put_aside (
    queue bigint NOT NULL, study text NOT NULL, item bigint NOT NULL, node text NOT NULL, attempts integer NOT NULL,
    reason text NOT NULL, at double precision NOT NULL, PRIMARY KEY (queue, study, item)
);

-- a study in a queue as long as it has deliveries; node, owner, token: of the process that works on it until `lease`
CREATE TABLE lanes (
    queue bigint NOT NULL, study text NOT NULL, due bigint NOT NULL, node text, owner text, token bigint,
    lease bigint, PRIMARY KEY (queue, study)
);
CREATE INDEX lanes_due ON lanes (queue, due);
CREATE SEQUENCE tokens;

-- series: "" for the study itself, done: the last event of the last revision
CREATE TABLE studies (
    study text NOT NULL, series text NOT NULL, revision integer NOT NULL DEFAULT 0, done bigint NOT NULL DEFAULT 0,
    last bigint NOT NULL, open boolean NOT NULL, PRIMARY KEY (study, series)
);
CREATE INDEX studies_open ON studies (last) WHERE open;
CREATE TABLE completions (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text NOT NULL UNIQUE, study text NOT NULL,
    series text NOT NULL, revision integer NOT NULL, since bigint NOT NULL, upto bigint NOT NULL,
    UNIQUE (study, series, revision)
)
""",
)
"""What makes each version of the tables from the one before. One that was released is never changed."""

VERSION = len(_MIGRATIONS)


class Database:
    """A connection to the database, for one process."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self.connection = connection

    def rows(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows of a query. A parameter is `%s`; or `?`, as in SQLite."""
        with as_store_error():
            return self.connection.execute(_encoded(text), values).fetchall()

    def each(self, text: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """As `rows`: a cursor for single ones would need a transaction."""
        return iter(self.rows(text, *values))

    def change(self, text: str, *values: object) -> int:
        """Execute a statement, in a transaction of its own outside `writing`; returns how many rows it has changed."""
        with as_store_error():
            return self.connection.execute(_encoded(text), values).rowcount

    @contextmanager
    def writing(self, *, alone: bool = False) -> Iterator[None]:
        """A transaction, committed at the end, undone if that is an exception; with `alone` no other of that kind
        runs beside it."""
        with as_store_error(), self.connection.transaction():
            if alone:
                self.connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            yield

    def close(self) -> None:
        self.connection.close()


@cache
def _encoded(text: str) -> bytes:
    """A statement as psycopg takes it."""
    return text.replace("?", "%s").encode()


@contextmanager
def as_store_error() -> Iterator[None]:
    """Tell an error of the database as a `StoreError`."""
    try:
        yield
    except psycopg.Error as error:
        raise StoreError(f"PostgreSQL: {' '.join(str(error).split())}") from error


def without_password(url: str) -> str:
    """The same database, without any secret, for a file. Raises StoreError, which does not show the URL: libpq would
    quote its password."""
    try:
        parts = conninfo_to_dict(url) if url.startswith(("postgresql://", "postgres://")) else None
    except psycopg.Error:
        parts = None
    if parts is None:
        raise StoreError("--journal is no URL like postgresql://USER@HOST/DATABASE")
    return make_conninfo("", **{key: value for key, value in parts.items() if key not in _secrets()})


def _secrets() -> set[str]:
    """The parameters that libpq marks as not to be shown, such as the password of a key."""
    return {each.keyword.decode() for each in Conninfo.get_defaults() if each.dispchar == b"*"}


def connect(url: str) -> Database:
    """A connection to the database at `url`, the tables of which are there. Raises StoreError."""
    with as_store_error():
        connection = psycopg.connect(url, autocommit=True, **DEAD_HOST)  # type: ignore[arg-type]
        try:
            connection.execute(_SETTINGS)
        except BaseException:
            connection.close()
            raise
    return Database(connection)


def open_database(url: str, *, make: bool = True) -> Database:
    """As `connect`; makes the tables, and those of a newer version from older ones, if `make` says so.

    Raises StoreError: the database cannot be reached, the tables are missing, or of a newer version.
    """
    database = connect(url)
    try:
        version = _known_version(database)
        if version < VERSION:
            if not make:
                raise StoreError(f"PostgreSQL: version {version} of the tables in {SCHEMA}, {VERSION} is needed")
            _migrate(database)
    except BaseException:
        database.close()
        raise
    return database


def check_database(url: str) -> None:
    """Raise StoreError if that is no URL, if it cannot be reached, or its tables are of a newer version."""
    without_password(url)
    with closing(connect(url)) as database:
        _known_version(database)


def _known_version(database: Database) -> int:
    version = _version(database)
    if version > VERSION:
        raise StoreError(f"the tables have version {version}, this dcmrecv knows versions up to {VERSION}")
    return version


def _version(database: Database) -> int:
    """0 if there are no tables."""
    [[there]] = database.rows("SELECT to_regclass(%s) IS NOT NULL", f"{SCHEMA}.versions")
    return int(database.rows("SELECT coalesce(max(version), 0) FROM versions")[0][0]) if there else 0


def _migrate(database: Database) -> None:
    with database.writing(alone=True):
        database.change(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        database.change("CREATE TABLE IF NOT EXISTS versions (version integer PRIMARY KEY)")
        for version in range(_version(database), VERSION):
            database.connection.execute(_MIGRATIONS[version].encode())
            database.change("INSERT INTO versions (version) VALUES (%s)", version + 1)
