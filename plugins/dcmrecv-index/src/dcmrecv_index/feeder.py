"""The feeder: moves what is in the queue into the database, batch by batch.

Rows and queue positions are committed together, files are removed afterwards. So it may be killed at any point, and
goes on where the last commit was.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from sqlalchemy import URL, Engine
from sqlalchemy.exc import OperationalError

from dcmrecv_index.database import connect, forget_positions, positions, set_positions, upsert
from dcmrecv_index.queue import queue_files, read_lines, remove_if_left
from dcmrecv_index.record import Record

log = logging.getLogger("dcmrecv.index")

BATCH = 1000
"""Records of one transaction: a crash loses the work of a fraction of a second, and the commit's cost is spread."""

PAUSE = 0.5
"""Seconds between two looks at the queue, unless there is more than a batch in it: each commit flushes the disk that
the receiver's workers flush, too, so many small ones would slow them."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds until a database that is down is tried again, twice as many each time."""


class Feeder:
    """Feeds one database from one queue directory; one in a receiver, though a second does no harm."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self._engine = engine
        self._directory = directory
        with engine.begin() as connection:
            reached = positions(connection)
            names = {path.name for path in queue_files(directory)}
            forget_positions(connection, reached.keys() - names)
        self._reached = {name: position for name, position in reached.items() if name in names}

    def drain(self) -> int:
        """Empty the queue as it is now; the number of records. Raises SQLAlchemyError, OSError."""
        total = 0
        batch: list[Record] = []
        reached: dict[str, int] = {}
        paths = queue_files(self._directory)
        for path in paths:
            for line, position in read_lines(path, self._reached.get(path.name, 0)):
                reached[path.name] = position
                try:
                    batch.append(Record.from_line(line))
                except ValueError:
                    log.error("%s: skipping a line that cannot be read: %.80r", path.name, line)
                if len(batch) == BATCH:
                    total += self._commit(batch, reached)
        if reached:
            total += self._commit(batch, reached)
        self._remove(paths)
        return total

    def _commit(self, batch: list[Record], reached: dict[str, int]) -> int:
        """Empties both arguments."""
        with self._engine.begin() as connection:
            upsert(connection, batch)
            set_positions(connection, reached)
        self._reached.update(reached)
        count = len(batch)
        batch.clear()
        reached.clear()
        return count

    def _remove(self, paths: list[Path]) -> None:
        gone = [path.name for path in paths if remove_if_left(path, self._reached.get(path.name, 0))]
        if gone:
            with self._engine.begin() as connection:
                forget_positions(connection, gone)
            for name in gone:
                self._reached.pop(name, None)


def feed(url: str | URL, directory: Path) -> None:
    """Feed the database for ever, and wait for one that is down. Raises ValueError, OSError if it cannot."""
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
