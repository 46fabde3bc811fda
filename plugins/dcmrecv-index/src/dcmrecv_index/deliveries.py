"""What a delivery process does: each event into the database, in a transaction of its own."""

from __future__ import annotations

from pathlib import Path

from dcmrecv_core import StoredEvent, Undeliverable
from dcmrecv_index.conflicts import Warnings
from dcmrecv_index.database import Database, DatabaseError, RefusedError, connect
from dcmrecv_index.old_queue import take_over
from dcmrecv_index.record import record_of_event
from dcmrecv_index.write import one_record, write


class Deliveries:
    """The connection of a delivery process; opened again when it was lost."""

    def __init__(self, where: str | Path, state_directory: Path) -> None:
        """Raises DatabaseError, OSError, ValueError: the database cannot be used now, or is of a newer version."""
        self._where = where
        self._warnings = Warnings()
        self._database: Database | None = connect(where)
        take_over(self._database, state_directory, self._warnings)

    def index(self, event: StoredEvent) -> None:
        """Raises Undeliverable if this event cannot be indexed; DatabaseError, OSError: try again."""
        try:
            with one_record():
                record = record_of_event(event)
            if self._database is None:
                self._database = connect(self._where)
            with self._database.writing():
                # of a recovered instance only the time of its file says when it came
                found = write(self._database, record, only_later=event.recovered)
        except RefusedError as error:
            raise Undeliverable(str(error)) from None
        except DatabaseError:
            self.close()
            raise
        self._warnings.warn([found])

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
