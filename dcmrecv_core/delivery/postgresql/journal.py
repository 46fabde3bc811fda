"""Reads the records that workers have written into the database, and keeps the leases of their associations."""

from __future__ import annotations

import logging
import os
import time

from dcmrecv_core.delivery.events import decode_or_none, is_file
from dcmrecv_core.delivery.journal import Batch
from dcmrecv_core.delivery.postgresql.leases import RENEWED_AFTER
from dcmrecv_core.delivery.postgresql.store import PostgresqlStore
from dcmrecv_core.delivery.store import NewEvent

log = logging.getLogger("dcmrecv.delivery")

AT_ONCE = 1000
"""Records that one turn reads."""


class SharedJournalReader:
    """What `JournalReader` is for files. Each node reads its own records, and those of nodes that have died."""

    def __init__(self, store: PostgresqlStore) -> None:
        self._store = store
        self._renewed = float("-inf")

    def open_associations(self) -> set[str]:
        """Those of all nodes that may still store something."""
        return self._store.open_associations()

    def studies_to_come(self) -> set[str]:
        """Those of which some node has recorded something that is not taken in. If an association was no longer open
        before, its last record is among them, or taken in."""
        return self._store.studies_to_come()

    def read(self, until: int) -> Batch:
        """Read the next records, all of which are durable. Raises StoreError."""
        at = time.monotonic()
        if at - self._renewed >= RENEWED_AFTER:
            self._store.renew_node(lives)
            self._renewed = at
        events = []
        rows = self._store.recorded(AT_ONCE)
        for id, node, data in rows:
            record = decode_or_none(data)
            if record is None:
                log.error("record %s of the journal is damaged, put aside in the table damaged", id)
                self._store.put_record_aside(id)
            else:
                events.append(NewEvent(id, record, data, node * is_file(record)))
        return Batch(events, {}, len(rows) == AT_ONCE)

    def remove_finished(self) -> list[str]:
        """There are no files."""
        return []

    def close(self) -> None:
        """Its connection is the store's."""


def lives(pid: int) -> bool:
    """Whether there is a process with this number."""
    return os.path.exists(f"/proc/{pid}")
