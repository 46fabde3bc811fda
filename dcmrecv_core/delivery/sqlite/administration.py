"""The store in SQLite: what an administrator asks for and does."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from dcmrecv_core.delivery.events import HELD
from dcmrecv_core.delivery.sqlite.database import COMPLETED, Database
from dcmrecv_core.delivery.store import PutAside, Queue, QueueState

_STATES = """
SELECT plugin, target, claimed,
    (SELECT count(*) FROM deliveries WHERE queue = number),
    (SELECT count(*) FROM put_aside WHERE queue = number),
    (SELECT count(DISTINCT study) FROM deliveries WHERE queue = number AND attempts > 0),
    (SELECT count(*) FROM lanes WHERE queue = number AND owner IS NOT NULL),
    (SELECT min(item) FROM deliveries WHERE queue = number)
FROM queues ORDER BY plugin, target
"""

_PUT_ASIDE = f"""
SELECT plugin, target, coalesce(events.id, completions.id, ''), put_aside.study, reason, attempts, put_aside.at
FROM put_aside JOIN queues ON queues.number = queue
LEFT JOIN events ON NOT {COMPLETED} AND events.number = item
LEFT JOIN completions ON {COMPLETED} AND completions.number = item
"""

_REPLAYED = f"FROM events WHERE at >= ? AND study NOT GLOB '{HELD}*'"


class Administration:
    """The methods of a `Store` for `dcmrecvctl`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def close(self) -> None:
        self._db.close()

    def _rows(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        return self._db.rows(text, *values)

    def _each(self, text: str, *values: object) -> Iterator[tuple[Any, ...]]:
        return self._db.each(text, *values)

    def states(self) -> list[QueueState]:
        found = []
        for plugin, target, claimed, waiting, aside, failing, busy, first in self._rows(_STATES):
            at = self._rows("SELECT at FROM events WHERE number = ?", first)
            queue = Queue(plugin, target)
            oldest = at[0][0] if at and not queue.has_completions else None
            found.append(QueueState(queue, bool(claimed), waiting, aside, failing, busy, oldest))
        return found

    def all_put_aside(self, queue: Queue | None = None) -> Iterator[PutAside]:
        where, values = ("", ()) if queue is None else ("WHERE plugin = ? AND target = ?", tuple(queue))
        for plugin, target, id, study, *rest in self._each(f"{_PUT_ASIDE} {where} ORDER BY put_aside.at", *values):
            yield PutAside(Queue(plugin, target), id, study.removeprefix(HELD), *rest)

    def unfinished(self) -> set[str]:
        query = "SELECT study FROM lanes UNION SELECT study FROM put_aside UNION SELECT study FROM studies WHERE open"
        return {study.removeprefix(HELD) for (study,) in self._rows(query)}

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

    def _numbers(self, queue: Queue | None) -> list[tuple[Any, ...]]:
        if queue is None:
            return self._rows("SELECT number, target FROM queues")
        return self._rows("SELECT number, target FROM queues WHERE plugin = ? AND target = ?", *queue)

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
