"""The store in PostgreSQL: what the processes of a receiver do."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from hashlib import sha256

from dcmrecv_core.delivery.common import opened
from dcmrecv_core.delivery.events import HELD, decode_or_none, is_file, study_key, uid_of
from dcmrecv_core.delivery.postgresql.administration import CHANGE_LANES, NOW, TO_LANES, Administration
from dcmrecv_core.delivery.postgresql.database import Database, connect, open_database
from dcmrecv_core.delivery.postgresql.leases import LEASE, renewing
from dcmrecv_core.delivery.store import (
    Claim,
    Completion,
    FileState,
    Item,
    NewEvent,
    OpenStudy,
    Queue,
)
from dcmrecv_core.storage.journals.database import LEASE_SECONDS
from dcmrecv_core.storage.journals.records import decode

_ADD_EVENTS = """
INSERT INTO events (id, study, series, node, at, record)
SELECT id, study, series, node, extract(epoch from clock_timestamp()), record
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bytea[]) WITH ORDINALITY
    AS new (id, study, series, node, record, place)
ORDER BY place ON CONFLICT DO NOTHING RETURNING number, study, series
"""

_ADD_DELIVERIES = """
INSERT INTO deliveries (queue, study, item, node)
SELECT queue, study, number, node FROM events CROSS JOIN unnest(%s::bigint[]) AS queue WHERE number = ANY(%s)
"""
_ADD_LANES = TO_LANES.format(
    due="%s::bigint",
    rows="SELECT queue, study FROM events CROSS JOIN unnest(%s::bigint[]) AS queue WHERE number = ANY(%s)",
)
_RELOCATING = "SELECT queue FROM wanted JOIN queues ON number = queue WHERE target = 'relocate'"
_HOLDING = _RELOCATING.replace("SELECT queue", "SELECT DISTINCT node", 1)

_ADD_STUDIES = """
INSERT INTO studies (study, series, last, open) SELECT study, series, %s, true
FROM unnest(%s::text[], %s::text[]) AS new (study, series)
ON CONFLICT (study, series) DO UPDATE SET last = excluded.last, open = true
"""

_CLAIM = """
WITH found AS (
    SELECT queue, study FROM lanes WHERE queue = %s AND due <= %s AND (owner IS NULL OR lease < %s)
    AND (EXISTS (SELECT 1 FROM deliveries AS mine
            WHERE mine.queue = lanes.queue AND mine.study = lanes.study AND mine.node IN ('', %s))
        OR NOT EXISTS (SELECT 1 FROM deliveries AS any_
            WHERE any_.queue = lanes.queue AND any_.study = lanes.study))
    ORDER BY due LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE lanes SET node = %s, owner = %s, token = nextval('tokens'), lease = %s FROM found
WHERE (lanes.queue, lanes.study) = (found.queue, found.study) RETURNING lanes.study, token
"""
"""The only statement that passes over locked rows: another process is just claiming those."""

_OWN = "WITH own AS (SELECT 1 FROM lanes WHERE queue = %s AND study = %s AND token = %s FOR UPDATE) "
"""Before a statement, for which `EXISTS (SELECT 1 FROM own)` says that the claim was not taken over; nor can it be
until that statement is committed."""

_NEXT = """
SELECT item, attempts, target FROM lanes JOIN queues ON queues.number = lanes.queue
JOIN deliveries ON deliveries.queue = lanes.queue AND deliveries.study = lanes.study AND deliveries.node IN ('', %s)
WHERE lanes.queue = %s AND lanes.study = %s AND token = %s ORDER BY item LIMIT %s
"""

_LONGEST_KEY = 256

_PLACE = "place"
"""The key of a note."""

_FREE = "node = NULL, owner = NULL, token = NULL, lease = NULL"

_NOTHING_WAITS = (
    "NOT EXISTS (SELECT 1 FROM lanes WHERE lanes.study = kept.study) "
    "AND NOT EXISTS (SELECT 1 FROM put_aside WHERE put_aside.study = kept.study)"
)
"""For a study, whose row is `kept`."""


class PostgresqlStore(Administration):
    """A `Store` in a database that other nodes use, too; for one process of `node`."""

    def __init__(self, database: Database, url: str, node: str) -> None:
        super().__init__(database)
        self._url = url
        self._node = node

    @classmethod
    def open(cls, url: str, node: str, *, make: bool = True) -> PostgresqlStore:
        """Raises StoreError."""
        return cls(open_database(url, make=make), url, node)

    def now(self) -> int:
        return int(self._rows(f"SELECT {NOW}")[0][0])

    def take_name(self, place: str) -> bool:
        """Whether the name of this node is that of the receiver at `place`: no other one has it and lives."""
        with self._db.writing(alone=True):
            if self._rows(
                "SELECT 1 FROM notes JOIN nodes ON nodes.node = notes.node "
                f"WHERE notes.node = %s AND key = %s AND value != %s AND lease > {NOW}",
                self._node,
                _PLACE,
                place,
            ):
                return False
            self.note(_PLACE, place)
            self._renew_node()
            return True

    # The journal process

    def begin(self, queues: Collection[Queue], now: int) -> None:
        with self._db.writing(alone=True):
            self._renew_node()
            self._db.change("DELETE FROM wanted WHERE node = %s", self._node)
            self._want(queues)
            which = "owner IS NULL AND due > %s"
            self._db.change(CHANGE_LANES.format(which=which, new="due = %s"), now, now)

    def add_queues(self, queues: Collection[Queue]) -> None:
        with self._db.writing(alone=True):
            self._renew_node()
            self._want(queues)

    def _want(self, queues: Collection[Queue]) -> None:
        for queue in queues:
            self._db.change("INSERT INTO queues (plugin, target) VALUES (%s, %s) ON CONFLICT DO NOTHING", *queue)
            self._db.change(
                "INSERT INTO wanted (queue, node) SELECT number, %s FROM queues WHERE plugin = %s AND target = %s "
                "ON CONFLICT DO NOTHING",
                self._node,
                *queue,
            )

    def renew_node(self, lives: Callable[[int], bool]) -> None:
        """This node lives, and so do the associations of those of its processes that do; those of others are ended."""
        self._renew_node()
        rows = self._rows("SELECT pid FROM associations WHERE node = %s", self._node)
        living = [pid for (pid,) in rows if lives(pid)]
        dead = [pid for (pid,) in rows if pid not in living]
        self._db.change("DELETE FROM associations WHERE node = %s AND pid = ANY(%s)", self._node, dead)
        renewed = f"lease = clock_timestamp() + interval '{LEASE_SECONDS} s'"
        self._db.change(f"UPDATE associations SET {renewed} WHERE node = %s AND pid = ANY(%s)", self._node, living)

    def open_associations(self) -> set[str]:
        """Of all nodes."""
        return {each for (each,) in self._rows("SELECT association FROM associations WHERE lease > clock_timestamp()")}

    def studies_to_come(self) -> set[str]:
        return {_text(study) for study in self.recorded_studies()}

    def recorded(self, limit: int) -> list[tuple[str, str, bytes]]:
        """Id, node and content of records that were not taken in: of this node, and of those that have died."""
        return self._rows(
            "SELECT id, node, record FROM journal WHERE node = %s OR NOT EXISTS (SELECT 1 FROM nodes "
            f"WHERE nodes.node = journal.node AND lease > {NOW}) ORDER BY number LIMIT %s",
            self._node,
            limit,
        )

    def put_record_aside(self, id: str) -> None:
        with self._db.writing():
            self._db.change("INSERT INTO damaged SELECT id, node, record FROM journal WHERE id = %s", id)
            self._db.change("DELETE FROM journal WHERE id = %s", id)

    def _renew_node(self) -> None:
        self._db.change(
            f"INSERT INTO nodes (node, lease) VALUES (%s, {NOW} + %s) "
            "ON CONFLICT (node) DO UPDATE SET lease = excluded.lease",
            self._node,
            LEASE,
        )

    def files(self) -> dict[str, FileState]:
        return {}  # the records are in the database from the beginning

    def take_in(self, events: Sequence[NewEvent], files: Mapping[str, FileState], now: int, flushed: float) -> None:
        with self._db.writing(alone=True):
            self._db.change("DELETE FROM journal WHERE id = ANY(%s)", [each.id for each in events])
            holding = {node for (node,) in self._rows(_HOLDING)}
            self._add([each for each in events if each.node not in holding], now)
            for node in holding:
                self._hold([each for each in events if each.node == node], node, now)

    def _add(self, events: Sequence[NewEvent], now: int) -> None:
        wanted = self._wanted()
        added = self._add_events(events, "")
        queues = [number for queue, number in wanted.items() if queue.hook == "deliver"]
        self._add_deliveries([number for number, _, _ in added], queues, now)
        hooks = {queue.hook for queue in wanted}
        touched: dict[tuple[str, str], None] = {}
        for _, study, series in added:
            touched.update(dict.fromkeys(opened(study, series, hooks)))
        if touched:
            self._db.change(_ADD_STUDIES, now, *map(list, zip(*touched, strict=True)))

    def _hold(self, events: Sequence[NewEvent], node: str, now: int) -> None:
        """Files of a node that relocates them: no other node can."""
        added = self._add_events(events, HELD)
        queues = [number for (number,) in self._rows(f"{_RELOCATING} AND node = %s", node)]
        self._add_deliveries([number for number, _, _ in added], queues, now)

    def _add_events(self, events: Sequence[NewEvent], before_key: str) -> list[tuple[int, str, str]]:
        """Returns number, key and series of those that were not there."""
        return self._rows(
            _ADD_EVENTS,
            [each.id for each in events],
            [before_key + _text(study_key(each.record)) for each in events],
            [_text(uid_of(each.record.series_instance_uid)) for each in events],
            [each.node for each in events],
            [each.data for each in events],
        )

    def _add_deliveries(self, numbers: list[int], queues: list[int], now: int) -> None:
        if numbers and queues:
            self._db.change(_ADD_DELIVERIES, queues, numbers)
            self._db.change(_ADD_LANES, now, queues, numbers)

    def forget_files(self, names: Collection[str]) -> None:
        """There are none."""

    def note(self, key: str, value: str | None) -> None:
        if value is None:
            self._db.change("DELETE FROM notes WHERE node = %s AND key = %s", self._node, key)
        else:
            self._db.change(
                "INSERT INTO notes (node, key, value) VALUES (%s, %s, %s) "
                "ON CONFLICT (node, key) DO UPDATE SET value = excluded.value",
                self._node,
                key,
                value,
            )

    def noted(self, key: str) -> str | None:
        rows = self._rows("SELECT value FROM notes WHERE node = %s AND key = %s", self._node, key)
        return rows[0][0] if rows else None

    def complete(self, open_study: OpenStudy) -> int:
        study, series, done, last = open_study
        with self._db.writing(alone=True):
            rows = self._rows(
                "SELECT revision FROM studies WHERE (study, series, done, last) = (%s, %s, %s, %s) AND open",
                study,
                series,
                done,
                last,
            )
            if not rows:
                return 0  # another node was earlier, or has taken in more
            [[revision]] = rows
            upto, is_new = self._news(open_study, revision)
            self._db.change(
                "UPDATE studies SET open = false, done = %s, revision = revision + %s WHERE study = %s AND series = %s",
                upto,
                int(is_new),
                study,
                series,
            )
            if is_new:
                self._add_completion(Completion(os.urandom(12).hex(), study, series, revision + 1, done, upto))
        return int(revision) + 1 if is_new else 0

    def _add_completion(self, completion: Completion) -> None:
        [[item]] = self._rows(
            "INSERT INTO completions (id, study, series, revision, since, upto) VALUES (%s, %s, %s, %s, %s, %s) "
            "RETURNING number",
            *completion,
        )
        hook = "series_completed" if completion.series else "study_completed"
        queues = [number for queue, number in self._wanted().items() if queue.hook == hook]
        # the node that has its last local file: no other one can open that
        local = self._rows(
            "SELECT node FROM events WHERE study = %s AND (%s = '' OR series = %s) AND number <= %s AND node != '' "
            "ORDER BY number DESC LIMIT 1",
            completion.study,
            completion.series,
            completion.series,
            completion.upto,
        )
        self._db.change(
            "INSERT INTO deliveries (queue, study, item, node) "
            "SELECT queue, %s, %s, %s FROM unnest(%s::bigint[]) AS queue",
            completion.study,
            item,
            local[0][0] if local else "",
            queues,
        )
        rows = "SELECT queue, %s::text AS study FROM unnest(%s::bigint[]) AS queue"
        self._db.change(TO_LANES.format(due=0, rows=rows), completion.study, queues)

    def _wanted(self) -> dict[Queue, int]:
        """Those into which events are put: also the ones of a node that has died, and may come back."""
        rows = self._rows(
            "SELECT number, plugin, target FROM queues WHERE EXISTS (SELECT 1 FROM wanted WHERE queue = number)"
        )
        return {Queue(plugin, target): number for number, plugin, target in rows}

    def purge(self, before: float, limit: int) -> int:
        with self._db.writing(alone=True):
            gone = self._db.change(
                "DELETE FROM events WHERE number IN (SELECT number FROM events AS kept WHERE number < coalesce("
                "(SELECT number FROM events WHERE at >= %s ORDER BY number LIMIT 1), 1::bigint << 62) "
                f"AND {_NOTHING_WAITS} "
                "AND NOT EXISTS (SELECT 1 FROM studies WHERE studies.study = kept.study AND open) "
                "ORDER BY number LIMIT %s)",
                before,
                limit,
            )
            self._db.change(
                "DELETE FROM completions WHERE number IN (SELECT number FROM completions AS kept WHERE upto < "
                f"(SELECT coalesce(min(number), 1::bigint << 62) FROM events) AND {_NOTHING_WAITS} LIMIT %s)",
                limit,
            )
            return gone

    # Marks

    def asked(self) -> int:
        return 0  # the asker looks into the journal itself

    def answer(self, at: int) -> None:
        """Nothing was asked."""

    def moment(self, at: int) -> int:
        """The number of a record: what any node has acknowledged before is among those up to it, or taken in."""
        return int(self._rows("SELECT coalesce(max(number), 0) FROM journal")[0][0])

    def last_taken_in(self, moment: int) -> int | None:
        if self._rows("SELECT 1 FROM journal WHERE number <= %s LIMIT 1", moment):
            return None
        return int(self._rows("SELECT coalesce(max(number), 0) FROM events")[0][0])

    def waits(self, plugin: str, upto: int) -> bool:
        queues = self._delivering(plugin)
        waiting = "SELECT 1 FROM deliveries WHERE queue = ANY(%s) AND item <= %s LIMIT 1"
        return bool(self._rows(waiting, queues, upto))

    def holds(self, upto: int) -> bool:
        waiting = "SELECT 1 FROM deliveries JOIN queues ON number = queue WHERE target = 'relocate' AND node = %s"
        return bool(self._rows(f"{waiting} AND item <= %s LIMIT 1", self._node, upto))

    def forget_moments(self) -> None:
        """None is kept."""

    # Delivery processes

    def release_others(self, queue: int, owners: Collection[str], now: int) -> int:
        which = "queue = %s AND node = %s AND owner != ALL(%s)"
        text = CHANGE_LANES.format(which=which, new=f"{_FREE}, due = %s")
        return self._db.change(text, queue, self._node, list(owners), now)

    def claim(self, queue: int, owner: str, now: int) -> Claim | None:
        node = self._node
        rows = self._rows(_CLAIM, queue, now, now, node, node, owner, now + LEASE)
        return Claim(queue, rows[0][0], owner, rows[0][1]) if rows else None

    def keep_claims(self, queue: int, owner: str) -> AbstractContextManager[None]:
        def renew() -> None:
            with closing(connect(self._url)) as database:
                which = "queue = %s AND node = %s AND owner = %s"
                text = CHANGE_LANES.format(which=which, new=f"lease = {NOW} + %s")
                database.change(text, queue, self._node, owner, LEASE)

        return renewing(renew)

    def next_many(self, claim: Claim, limit: int) -> list[Item]:
        rows = self._rows(_NEXT, self._node, claim.queue, claim.study, claim.token, limit)
        return [self._item(*row) for row in rows]

    def done(self, claim: Claim, item: Item) -> None:
        self._delete(claim, item)

    def all_done(self, deliveries: Collection[tuple[Claim, Item]]) -> None:
        with self._db.writing():
            for claim, item in sorted(deliveries, key=lambda each: (each[0].queue, each[0].study)):
                self._delete(claim, item)

    def failed(self, claim: Claim, item: Item, due: int) -> None:
        with self._db.writing():
            self._db.change(
                f"{_OWN} UPDATE deliveries SET attempts = attempts + 1 "
                "WHERE queue = %s AND study = %s AND item = %s AND EXISTS (SELECT 1 FROM own)",
                *_key(claim),
                claim.queue,
                claim.study,
                item.number,
            )
            self._give_back(claim, due)

    def relocated(self, claim: Claim, item: Item, data: bytes, now: int) -> bool:
        with self._db.writing(alone=True):
            if not self._rows(f"{_OWN} SELECT 1 FROM own", *_key(claim)):
                return False
            self._delete(claim, item)
            if claim.study.startswith(HELD):
                [[id]] = self._rows("DELETE FROM events WHERE number = %s RETURNING id", item.number)
                # with a number of its own: the study may have been completed with later ones meanwhile
                record = decode(data)
                self._add([NewEvent(id, record, data, self._node * is_file(record))], now)
        return True

    def held_locations(self) -> set[bytes]:
        rows = self._rows("SELECT record FROM events WHERE study LIKE %s AND node = %s", f"{HELD}%", self._node)
        return {record.location for (data,) in rows if (record := decode_or_none(data)) is not None}

    def put_aside(self, claim: Claim, item: Item, reason: str) -> None:
        with self._db.writing():
            self._db.change(
                f"{_OWN} INSERT INTO put_aside (queue, study, item, node, attempts, reason, at) "
                "SELECT queue, study, item, node, %s, %s, extract(epoch from clock_timestamp()) FROM deliveries "
                "WHERE queue = %s AND study = %s AND item = %s AND EXISTS (SELECT 1 FROM own) "
                "ON CONFLICT (queue, study, item) DO UPDATE SET attempts = excluded.attempts, reason = excluded.reason",
                *_key(claim),
                item.attempts + 1,
                _storable(reason),
                claim.queue,
                claim.study,
                item.number,
            )
            self._delete(claim, item)

    def release(self, claim: Claim, now: int) -> None:
        with self._db.writing():
            self._give_back(claim, now)

    def _delete(self, claim: Claim, item: Item) -> None:
        self._db.change(
            f"{_OWN} DELETE FROM deliveries WHERE queue = %s AND study = %s AND item = %s "
            "AND EXISTS (SELECT 1 FROM own)",
            *_key(claim),
            claim.queue,
            claim.study,
            item.number,
        )

    def _give_back(self, claim: Claim, due: int) -> None:
        """Also if all its deliveries are done: then it is no lane any more. The first statement waits until a process
        that adds deliveries has committed them; only a later one sees them."""
        own = "queue = %s AND study = %s AND token = %s"
        self._db.change(f"UPDATE lanes SET {_FREE}, due = %s WHERE {own}", due, *_key(claim))
        self._db.change(
            "DELETE FROM lanes WHERE queue = %s AND study = %s AND owner IS NULL AND NOT EXISTS "
            "(SELECT 1 FROM deliveries WHERE deliveries.queue = lanes.queue AND deliveries.study = lanes.study)",
            claim.queue,
            claim.study,
        )


def _key(claim: Claim) -> tuple[int, str, int]:
    return claim.queue, claim.study, claim.token


def _text(value: str) -> str:
    """As a key. A UID has 64 bytes at most, and what is much longer does not fit into an index."""
    text = _storable(value)
    return text if len(text) <= _LONGEST_KEY else text[:64] + sha256(text.encode()).hexdigest()


def _storable(value: str) -> str:
    """As PostgreSQL takes it: without NUL, and UTF-8."""
    return value.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
