"""The store in PostgreSQL: what an administrator asks for and does."""

from __future__ import annotations

from collections.abc import Collection

from dcmrecv_core.delivery.common import CommonStore
from dcmrecv_core.delivery.events import HELD, decode_or_none, study_key
from dcmrecv_core.delivery.postgresql.database import Database
from dcmrecv_core.delivery.store import Queue

NOW = "(extract(epoch from clock_timestamp()) * 1000000000)::bigint"
"""In a statement: nanoseconds since 1970."""

_WANTED = f"""
EXISTS (SELECT 1 FROM wanted JOIN nodes ON nodes.node = wanted.node
WHERE wanted.queue = queues.number AND nodes.lease > {NOW})
"""
"""In a statement about a queue: whether a plugin of a node that lives wants it."""

TO_LANES = """
INSERT INTO lanes (queue, study, due)
SELECT queue, study, {due} FROM (SELECT DISTINCT queue, study FROM ({rows}) AS new) AS lane
ORDER BY queue, study COLLATE "C"
ON CONFLICT (queue, study) DO UPDATE SET study = excluded.study
"""
"""Makes the lanes of new deliveries. It locks those that are there: a process that gives one back sees them then, and
does not remove it."""

_CHOSEN_LANES = """
WITH chosen AS (SELECT queue, study FROM lanes WHERE {which} ORDER BY queue, study COLLATE "C" FOR UPDATE)
"""
"""All statements lock lanes in this order, which is also Python's, so no two wait for each other."""

CHANGE_LANES = f"""
{_CHOSEN_LANES} UPDATE lanes SET {{new}} FROM chosen WHERE (lanes.queue, lanes.study) = (chosen.queue, chosen.study)
"""
"""The values of `which` come before those of `new`."""

_UNUSED_LANES = f"""
{_CHOSEN_LANES.format(which="queue = %s AND owner IS NULL")}
DELETE FROM lanes USING chosen WHERE (lanes.queue, lanes.study) = (chosen.queue, chosen.study) AND NOT EXISTS
(SELECT 1 FROM deliveries WHERE deliveries.queue = lanes.queue AND deliveries.study = lanes.study)
"""


class Administration(CommonStore[Database]):
    """The methods of a `Store` for `dcmrecvctl`."""

    claimed = _WANTED

    def unfinished(self) -> set[str]:
        return self.recorded_studies() | super().unfinished()  # in this order: records become rows meanwhile

    def recorded_studies(self) -> set[str]:
        """Those of records that no node has taken in yet."""
        recorded = (decode_or_none(data) for (data,) in self._rows("SELECT record FROM journal"))
        return {study_key(record) for record in recorded if record is not None}

    def retry(self, queue: Queue | None = None, ids: Collection[str] = ()) -> int:
        with self._db.writing(alone=True):
            count = 0
            for number, target in self._numbers(queue):
                chosen, values = _chosen("put_aside", number, target, ids)
                new = f"SELECT queue, study, item, node FROM put_aside WHERE {chosen}"
                text = f"INSERT INTO deliveries (queue, study, item, node) {new} ON CONFLICT DO NOTHING"
                self._db.change(text, *values)
                self._db.change(TO_LANES.format(due=0, rows=new), *values)
                count += self._db.change(f"DELETE FROM put_aside WHERE {chosen}", *values)
                if not ids:
                    which = "queue = %s AND owner IS NULL"
                    self._db.change(CHANGE_LANES.format(which=which, new="due = 0"), number)
            return count

    def drop(self, queue: Queue, ids: Collection[str] = ()) -> int:
        with self._db.writing(alone=True):
            count = 0
            for number, target in self._numbers(queue):
                for table in ("deliveries", "put_aside"):
                    chosen, values = _chosen(table, number, target, ids)
                    count += self._db.change(f"DELETE FROM {table} WHERE {chosen}", *values)
                self._db.change(_UNUSED_LANES, number)
                if not ids and self._db.change(f"DELETE FROM queues WHERE number = %s AND NOT {_WANTED}", number):
                    self._db.change("DELETE FROM wanted WHERE queue = %s", number)
            return count

    def replay(self, queue: Queue, since: float) -> int:
        with self._db.writing(alone=True):
            count = 0
            for number, _ in self._numbers(queue):
                new = (
                    "SELECT %s::bigint AS queue, study, number AS item, node FROM events "
                    f"WHERE at >= %s AND study NOT LIKE '{HELD}%%'"
                )
                text = f"INSERT INTO deliveries (queue, study, item, node) {new} ON CONFLICT DO NOTHING"
                count += self._db.change(text, number, since)
                self._db.change(TO_LANES.format(due=0, rows=new), number, since)
            return count


def _chosen(table: str, number: int, target: str, ids: Collection[str]) -> tuple[str, tuple[object, ...]]:
    """A condition for the rows of a queue with these ids, for all if there are none; and its values."""
    if not ids:
        return "queue = %s", (number,)
    contents = "completions" if Queue("", target).has_completions else "events"
    return f"queue = %s AND item IN (SELECT number FROM {contents} WHERE id = ANY(%s))", (number, list(ids))
