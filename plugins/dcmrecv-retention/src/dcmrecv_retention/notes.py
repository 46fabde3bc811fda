"""What is set aside, on disk before the first file is moved."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from dcmrecv_index.studies import IndexedInstance

FILE = "retention.sqlite"

_TABLE = """
CREATE TABLE IF NOT EXISTS aside (
    number INTEGER PRIMARY KEY AUTOINCREMENT, study TEXT NOT NULL, sop_instance_uid TEXT NOT NULL,
    location TEXT NOT NULL, size INTEGER NOT NULL, received INTEGER NOT NULL, calling_ae_title TEXT,
    decided INTEGER NOT NULL DEFAULT 0
)
"""


class Aside(NamedTuple):
    """An instance whose file is, or will be, moved to a name that is its `number`. `decided`: it will be removed."""

    number: int
    study: str
    instance: IndexedInstance
    decided: bool


class Notes:
    """A database for one process; what a method has written is durable when it returns."""

    def __init__(self, state_directory: Path) -> None:
        self._connection = sqlite3.connect(state_directory / FILE, isolation_level=None)
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(_TABLE)

    def close(self) -> None:
        self._connection.close()

    def note(self, study: str, instances: Iterable[IndexedInstance]) -> None:
        with closing(self._connection.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.executemany(
                "INSERT INTO aside (study, sop_instance_uid, location, size, received, calling_ae_title) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [(study, *instance) for instance in instances],
            )
            cursor.execute("COMMIT")

    def of(self, study: str | None = None) -> list[Aside]:
        """Those of a study, or all."""
        rows = self._connection.execute("SELECT * FROM aside WHERE ?1 IS NULL OR study = ?1 ORDER BY number", (study,))
        return [
            Aside(number, study, IndexedInstance(*instance), bool(decided))
            for number, study, *instance, decided in rows
        ]

    def decide(self, study: str) -> None:
        self._connection.execute("UPDATE aside SET decided = 1 WHERE study = ?", (study,))

    def forget(self, study: str) -> None:
        self._connection.execute("DELETE FROM aside WHERE study = ?", (study,))
