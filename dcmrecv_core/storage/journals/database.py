"""The journal in PostgreSQL, which several receivers share: a record is a row, committed when `append` returns.

It has the methods of `JournalWriter`, and a deadline for each: a database that does not answer must not hold a worker.
psycopg's own calls have none, so the statements go through its interface to libpq. The tables are made by the start
(delivery/postgresql/database.py).
"""

from __future__ import annotations

import logging
import os
import select
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import pq

from dcmrecv_core.api.errors import StorageError
from dcmrecv_core.storage.directories import storage_error
from dcmrecv_core.storage.journals.state_files import node_of

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

log = logging.getLogger("dcmrecv.receive")

SCHEMA = "dcmrecv_delivery"
"""Of the tables, so that a database can have others."""

CONNECT_SECONDS = 5
ANSWER_SECONDS = 10.0
"""Of the database, for a connection and for a record. A sender waits as long before it gets A700."""

END_SECONDS = 1.0

DEAD_HOST: dict[str, str | int] = {
    "connect_timeout": CONNECT_SECONDS,
    "tcp_user_timeout": 20_000,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""Parameters of libpq: a host that has gone without a word is noticed within 20 s. Linux alone would wait for some 15
minutes, in which a database that has taken its place has nothing to do."""

LEASE_SECONDS = 25
"""An association counts as open so long after its worker, or the journal process of its node, has said so."""

_BINARY, _TEXT = 1, 0

_ADD = f"INSERT INTO {SCHEMA}.journal (id, node, record) VALUES ($1, $2, $3)"
_ADD_FIRST = f"""
WITH opened AS (
    INSERT INTO {SCHEMA}.associations (node, pid, association, lease)
    VALUES ($2, $4, $5, clock_timestamp() + interval '{LEASE_SECONDS} s')
    ON CONFLICT (node, pid) DO UPDATE SET association = excluded.association, lease = excluded.lease
)
{_ADD}
"""
"""With the first record of an association: it is open from then on, for the study clock of all nodes."""

_END = f"DELETE FROM {SCHEMA}.associations WHERE node = $1 AND pid = $2 AND association = $3"
"""Only that one: a late answer must not end the worker's next association."""

_DURABLE = "SET synchronous_commit = on"
"""Whatever the database, the user or the URL say: what is committed survives a crash of the server."""


class SharedJournalWriter:
    """Writes the records of one worker to the database at `url`; `state_directory` has the name of its node."""

    def __init__(self, url: str, state_directory: Path) -> None:
        self._url = url
        self._state_directory = state_directory
        self._connection: psycopg.Connection | None = None
        self._association = b""
        self._told = False
        self._pid = str(os.getpid()).encode()

    def make_room(self) -> None:
        """Make sure that the database is there. Raises StorageError."""
        if self._connection is not None and not _has_ended(self._connection.pgconn):
            return
        self._disconnect()
        try:
            connection = psycopg.connect(self._url, autocommit=True, **DEAD_HOST)  # type: ignore[arg-type]
        except psycopg.Error as error:
            raise self._unavailable(str(error)) from error
        connection.pgconn.nonblocking = 1
        self._connection = connection
        self._execute(_DURABLE, (), CONNECT_SECONDS)
        self._told = False

    def append(self, record: bytes, association: bytes = b"", *, flush: bool = False) -> None:
        """Commit a record of this association, which is durable then, whatever `flush` says. Raises StorageError."""
        id = self._node + b"-" + os.urandom(12).hex().encode()
        values = [id, self._node, record]
        if association == self._association:
            self._execute(_ADD, values, ANSWER_SECONDS)
        else:
            self._execute(_ADD_FIRST, [*values, self._pid, association], ANSWER_SECONDS)
            self._association = association

    def end_association(self) -> None:
        """Note that the association of the last record, if any, has ended. Raises nothing: the study clock waits longer
        without it."""
        if self._association:
            ended, self._association = self._association, b""
            with suppress(StorageError):
                self._execute(_END, [self._node, self._pid, ended], END_SECONDS)

    def close(self) -> None:
        self._disconnect()

    @cached_property
    def _node(self) -> bytes:
        try:
            return node_of(self._state_directory).encode()
        except OSError as error:
            raise storage_error(error, "No name of the node in the state directory") from error

    def _execute(self, text: str, values: Sequence[bytes], seconds: float) -> None:
        if self._connection is None:
            self.make_room()
        assert self._connection is not None
        try:
            _execute(self._connection.pgconn, text, values, time.monotonic() + seconds)
        except (psycopg.Error, TimeoutError) as error:
            self._disconnect()
            raise self._unavailable(str(error) or f"no answer within {seconds:g} s") from error

    def _unavailable(self, reason: str) -> StorageError:
        """The reason is logged once, until there is a connection again: it is too long for a comment, and not for the
        sender."""
        if not self._told:
            log.error("instances are refused until the journal's database can be used: %s", " ".join(reason.split()))
            self._told = True
        return StorageError("The journal's database cannot be used")

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._association = b""  # the next record says again that it is open


def _execute(connection: PGconn, text: str, values: Sequence[bytes], deadline: float) -> None:
    """Raises psycopg.Error, TimeoutError."""
    formats = [_BINARY if place == 2 else _TEXT for place in range(len(values))]
    connection.send_query_params(text.encode(), values, param_formats=formats)
    poll = select.poll()
    poll.register(connection.socket, select.POLLIN | select.POLLOUT)
    while connection.flush():
        _wait(poll, deadline)
        connection.consume_input()
    poll.modify(connection.socket, select.POLLIN)
    failed = None
    while True:
        while connection.is_busy():
            _wait(poll, deadline)
            connection.consume_input()
        result = connection.get_result()
        if result is None:
            break
        if result.status != pq.ExecStatus.COMMAND_OK:
            failed = result.error_message.decode("utf-8", "replace")
    if failed is not None:
        raise psycopg.OperationalError(failed)


def _wait(poll: select.poll, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0 or not poll.poll(left * 1000):
        raise TimeoutError


def _has_ended(connection: PGconn) -> bool:
    """Whether the server has closed it. Nothing is asked: between two statements a server sends only that it ends."""
    if connection.status != pq.ConnStatus.OK:
        return True
    poll = select.poll()
    poll.register(connection.socket, select.POLLIN)
    return bool(poll.poll(0))
