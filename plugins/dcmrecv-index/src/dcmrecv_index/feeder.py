"""The feeder moves records from the queue into the database, batch by batch.

Rows and queue positions are committed together, files are removed afterwards. So it may be killed at any point, and
continues after the last commit.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from sqlalchemy import URL, Engine
from sqlalchemy.exc import OperationalError

from dcmrecv_index import conflicts
from dcmrecv_index.database import connect, forget_positions, positions, set_positions, upsert, writing
from dcmrecv_index.put_aside import OvertakenError, put_aside, store_each
from dcmrecv_index.queue import may_belong_to, queue_files, remove_if_finished
from dcmrecv_index.queue_order import Line, lines_in_order
from dcmrecv_index.record import Record

log = logging.getLogger("dcmrecv.index")

BATCH = 1000
"""Records in a transaction: few enough that a crash repeats a fraction of a second, enough to share a commit's cost."""

PAUSE = 0.5
"""Seconds between two reads of the queue, unless it has more than a batch: workers flush the same disk as commits do,
so many small commits would slow them."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a database that is down is tried again; doubled each time."""


class Feeder:
    """Feeds one database from one queue directory; a receiver has one, a second does no harm."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self._engine = engine
        self._directory = directory
        self._reached: dict[str, int] = {}
        self._count = 0
        with writing(engine) as connection:
            names = {path.name for path in queue_files(directory)}
            known = positions(connection)
            forget_positions(connection, [name for name in known.keys() - names if may_belong_to(name, directory)])
        self._reached = {name: position for name, position in known.items() if name in names}

    def drain(self) -> int:
        """Store all records that are in the queue now; returns their number. Raises SQLAlchemyError, OSError."""
        before = self._count
        paths = queue_files(self._directory)
        lines = lines_in_order(self._directory, dict(self._reached))
        try:
            while batch := list(islice(lines, BATCH)):
                store_each(self._store, batch, self._put_aside)
        except OvertakenError:
            with self._engine.connect() as connection:
                known = positions(connection)
            self._reached = {path.name: known[path.name] for path in paths if path.name in known}
        else:
            self._remove(paths)
        return self._count - before

    def _store(self, batch: Sequence[Line]) -> None:
        """Write all records of a batch, or raise and write none."""
        records = [line.record for line in batch if line.record is not None]
        if len(records) < len(batch):
            raise ValueError("the line cannot be read")
        self._commit(records, {line.name: line.position for line in batch})

    def _put_aside(self, line: Line, error: Exception) -> None:
        put_aside(self._directory, line, error)
        self._commit([], {line.name: line.position})

    def _commit(self, records: Sequence[Record], reached: dict[str, int]) -> None:
        with writing(self._engine) as connection:
            known = positions(connection)
            if any(known.get(name, 0) != self._reached.get(name, 0) for name in reached):
                raise OvertakenError
            contradictions = upsert(connection, records)
            set_positions(connection, reached)
        self._reached.update(reached)
        self._count += len(records)
        conflicts.warn(contradictions)

    def _remove(self, paths: list[Path]) -> None:
        gone = [path.name for path in paths if remove_if_finished(path, self._reached.get(path.name, 0))]
        if gone:
            with writing(self._engine) as connection:
                forget_positions(connection, gone)
            for name in gone:
                self._reached.pop(name, None)


def feed(url: str | URL, directory: Path) -> None:
    """Feed the database for ever; wait while it is down. Raises ValueError, OSError if that is impossible."""
    pause = FIRST_PAUSE
    while True:
        begun = time.monotonic()
        try:
            engine = connect(url)
            try:
                _feed(engine, directory)
            finally:
                engine.dispose()
        except OperationalError as error:
            if time.monotonic() - begun > LONGEST_PAUSE:  # it had been up
                pause = FIRST_PAUSE
            reason = str(error.orig).strip().partition("\n")[0]
            log.error("the database cannot be used, next try in %g s: %s", pause, reason)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _feed(engine: Engine, directory: Path) -> None:
    feeder = Feeder(engine, directory)
    while True:
        count = feeder.drain()
        if count:
            log.info("%d instances indexed", count)
        if count < BATCH:
            time.sleep(PAUSE)
