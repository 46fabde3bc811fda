"""The store in SQLite: what an administrator asks for and does."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from dcmrecv_core.delivery.common import CommonStore
from dcmrecv_core.delivery.events import HELD
from dcmrecv_core.delivery.sqlite.database import Database
from dcmrecv_core.delivery.store import Queue

_REPLAYED = f"FROM events WHERE at >= ? AND study NOT GLOB '{HELD}*'"


class Administration(CommonStore[Database]):
    """The methods of a `Store` for `dcmrecvctl`."""

    claimed = "claimed"

    def retry(self, queue: Queue | None = None, ids: Collection[str] = ()) -> int:
        with self._db.writing(durable=True) as db:
            count = 0
            for number, target in self._numbers(queue):
                for study, item in self._chosen("put_aside", number, target, ids):
                    row = (number, study, item)
                    db.execute("INSERT OR IGNORE INTO deliveries (queue, study, item) VALUES (?, ?, ?)", row)
                    db.execute("INSERT OR IGNORE INTO lanes (queue, study, due) VALUES (?, ?, 0)", row[:2])
                    db.execute("DELETE FROM put_aside WHERE queue = ? AND study = ? AND item = ?", row)
                    count += 1
                if not ids:
                    db.execute("UPDATE lanes SET due = 0 WHERE queue = ? AND owner IS NULL", (number,))
            return count

    def drop(self, queue: Queue, ids: Collection[str] = ()) -> int:
        with self._db.writing(durable=True) as db:
            count = 0
            for number, target in self._numbers(queue):
                for table in ("deliveries", "put_aside"):
                    for study, item in self._chosen(table, number, target, ids):
                        row = (number, study, item)
                        db.execute(f"DELETE FROM {table} WHERE queue = ? AND study = ? AND item = ?", row)
                        count += 1
                db.execute(
                    "DELETE FROM lanes WHERE queue = ? AND owner IS NULL AND NOT EXISTS (SELECT 1 FROM deliveries "
                    "WHERE deliveries.queue = lanes.queue AND deliveries.study = lanes.study)",
                    (number,),
                )
                if not ids:
                    db.execute("DELETE FROM queues WHERE number = ? AND NOT claimed", (number,))
            return count

    def replay(self, queue: Queue, since: float) -> int:
        with self._db.writing(durable=True) as db:
            count = 0
            for number, _ in self._numbers(queue):
                cursor = db.execute(
                    "INSERT OR IGNORE INTO deliveries (queue, study, item) "
                    f"SELECT ?, study, number {_REPLAYED} ORDER BY number",
                    (number, since),
                )
                count += cursor.rowcount
                db.execute(
                    f"INSERT OR IGNORE INTO lanes (queue, study, due) SELECT DISTINCT ?, study, 0 {_REPLAYED}",
                    (number, since),
                )
            return count

    def _chosen(self, table: str, number: int, target: str, ids: Collection[str]) -> list[tuple[Any, ...]]:
        """Study and item of the rows of a queue with these ids; of all if there are none."""
        if not ids:
            return self._rows(f"SELECT study, item FROM {table} WHERE queue = ?", number)
        contents = "completions" if Queue("", target).has_completions else "events"
        return [
            row
            for id in ids
            for row in self._rows(
                f"SELECT {table}.study, item FROM {table} JOIN {contents} ON {contents}.number = item "
                f"WHERE queue = ? AND {contents}.id = ?",
                number,
                id,
            )
        ]
