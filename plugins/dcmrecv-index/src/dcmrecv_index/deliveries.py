"""What a delivery process does: events into the database, as many as there are in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dcmrecv_core import StoredEvent, TryAgain, Undeliverable
from dcmrecv_index.conflicts import Warnings
from dcmrecv_index.database import Database, DatabaseError, RefusedError, connect
from dcmrecv_index.old_queue import take_over
from dcmrecv_index.record import record_of_event
from dcmrecv_index.write import one_record, write


class Deliveries:
    """The connection of a delivery process; opened again when it was lost."""

    def __init__(self, where: str | Path, state_directory: Path) -> None:
        """Raises TryAgain; ValueError if the database is of a newer version."""
        self._where = where
        self._warnings = Warnings()
        self._database: Database | None = None
        with self._usable() as database:
            take_over(database, state_directory, self._warnings)

    def index(self, events: Sequence[StoredEvent]) -> None:
        """All of them in one transaction, or none. Raises Undeliverable if one cannot be indexed; TryAgain, OSError."""
        with self._usable() as database:
            with one_record():
                records = [(event, record_of_event(event)) for event in events]
            with database.writing():
                # of a recovered instance only the time of its file says when it came
                found = [write(database, record, only_later=event.recovered) for event, record in records]
        self._warnings.warn(found)

    @contextmanager
    def _usable(self) -> Iterator[Database]:
        try:
            if self._database is None:
                self._database = connect(self._where)
            yield self._database
        except RefusedError as error:
            raise Undeliverable(str(error)) from None
        except DatabaseError as error:
            self.close()
            raise TryAgain(f"the database cannot be used: {error}") from None

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
