"""The store in SQLite: what processes of a receiver do. `administration` has the rest."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from dcmrecv_core.delivery import clock
from dcmrecv_core.delivery.common import opened
from dcmrecv_core.delivery.events import HELD, decode_or_none, is_file, study_key, uid_of
from dcmrecv_core.delivery.sqlite.administration import Administration
from dcmrecv_core.delivery.sqlite.database import FILE, open_database
from dcmrecv_core.delivery.store import (
    Claim,
    FileState,
    Item,
    NewEvent,
    OpenStudy,
    Queue,
)
from dcmrecv_core.storage.journals.records import decode

_ASKED, _ANSWERED = "asked for", "taken in"
"""Notes of moments, in nanoseconds since the boot."""

_CLAIM = (
    "INSERT INTO queues (plugin, target, claimed) VALUES (?, ?, 1) "
    "ON CONFLICT (plugin, target) DO UPDATE SET claimed = 1"
)

_NOTHING_WAITS = (
    "NOT EXISTS (SELECT 1 FROM queues JOIN lanes ON lanes.queue = queues.number AND lanes.study = kept.study) "
    "AND NOT EXISTS (SELECT 1 FROM queues JOIN put_aside ON put_aside.queue = queues.number "
    "AND put_aside.study = kept.study)"
)
"""For a study, whose row is `kept`."""


class SqliteStore(Administration):
    """A `Store` in a file of the state directory, for one process."""

    @classmethod
    def open(cls, state_directory: str, *, make: bool = True) -> SqliteStore:
        """Raises StoreError."""
        return cls(open_database(os.path.join(state_directory, FILE), make=make))

    def now(self) -> int:
        return clock.now()

    # The journal process

    def begin(self, queues: Collection[Queue], now: int) -> None:
        with self._db.writing(durable=True) as db:
            db.execute("UPDATE queues SET claimed = 0")
            db.executemany(_CLAIM, queues)
            db.execute("UPDATE lanes SET due = ?", (now,))
            db.execute("UPDATE studies SET last = ? WHERE open", (now,))

    def add_queues(self, queues: Collection[Queue]) -> None:
        with self._db.writing(durable=True) as db:
            db.executemany(_CLAIM, queues)

    def files(self) -> dict[str, FileState]:
        rows = self._rows("SELECT name, position, association FROM files")
        return {name: FileState(position, association) for name, position, association in rows}

    def take_in(self, events: Sequence[NewEvent], files: Mapping[str, FileState], now: int, flushed: float) -> None:
        with self._db.writing(durable=True) as db:
            self._add(db, events, now, may_hold=True)
            db.executemany(
                "INSERT OR REPLACE INTO files (name, position, association) VALUES (?, ?, ?)",
                [(name, *state) for name, state in files.items()],
            )
            db.execute("INSERT OR REPLACE INTO notes (key, value) VALUES ('flushed', ?)", (repr(flushed),))

    def _add(self, db: Any, events: Iterable[NewEvent], now: int, *, may_hold: bool) -> None:
        touched: dict[tuple[str, str], None] = {}
        at = time.time()
        claimed = self._claimed()
        queues = [number for queue, number in claimed.items() if queue.hook == "deliver"]
        holding = [number for queue, number in claimed.items() if queue.hook == "relocate" and may_hold]
        hooks = {queue.hook for queue in claimed}
        for id, record, data, _ in events:
            is_held = bool(holding) and is_file(record)
            study, series = f"{HELD * is_held}{study_key(record)}", uid_of(record.series_instance_uid)
            added = db.execute(
                "INSERT OR IGNORE INTO events (id, study, series, at, record) VALUES (?, ?, ?, ?, ?)",
                (id, study, series, at, data),
            )
            if not added.rowcount:
                continue
            for queue in holding if is_held else queues:
                values = (queue, study, added.lastrowid)
                db.execute("INSERT INTO deliveries (queue, study, item) VALUES (?, ?, ?)", values)
                db.execute("INSERT OR IGNORE INTO lanes (queue, study, due) VALUES (?, ?, ?)", (queue, study, now))
            touched.update(dict.fromkeys(opened(study, series, hooks)))
        db.executemany(
            "INSERT INTO studies (study, series, last, open) VALUES (?, ?, ?, 1) "
            "ON CONFLICT (study, series) DO UPDATE SET last = excluded.last, open = 1",
            [(study, series, now) for study, series in touched],
        )

    def forget_files(self, names: Collection[str]) -> None:
        with self._db.writing(durable=False) as db:
            db.executemany("DELETE FROM files WHERE name = ?", [(name,) for name in names])

    def note(self, key: str, value: str | None) -> None:
        with self._db.writing(durable=True) as db:
            if value is None:
                db.execute("DELETE FROM notes WHERE key = ?", (key,))
            else:
                db.execute("INSERT OR REPLACE INTO notes (key, value) VALUES (?, ?)", (key, value))

    def noted(self, key: str) -> str | None:
        rows = self._rows("SELECT value FROM notes WHERE key = ?", key)
        return rows[0][0] if rows else None

    def asked(self) -> int:
        return int(self.noted(_ASKED) or 0)

    def answer(self, at: int) -> None:
        with self._db.writing(durable=False) as db:
            db.execute("INSERT OR REPLACE INTO notes (key, value) VALUES (?, ?)", (_ANSWERED, str(at)))
            db.execute("DELETE FROM notes WHERE key = ?", (_ASKED,))

    def complete(self, open_study: OpenStudy) -> int:
        study, series, done, _ = open_study
        with self._db.writing(durable=True) as db:
            [[revision]] = self._rows("SELECT revision FROM studies WHERE study = ? AND series = ?", study, series)
            upto, is_new = self._news(open_study, revision)
            db.execute(
                "UPDATE studies SET open = 0, done = ?, revision = revision + ? WHERE study = ? AND series = ?",
                (upto, is_new, study, series),
            )
            if not is_new:
                return 0
            cursor = db.execute(
                "INSERT INTO completions (id, study, series, revision, since, upto) VALUES (?, ?, ?, ?, ?, ?)",
                (os.urandom(12).hex(), study, series, revision + 1, done, upto),
            )
            hook = "series_completed" if series else "study_completed"
            for queue, number in self._claimed().items():
                if queue.hook == hook:
                    values = (number, study, cursor.lastrowid)
                    db.execute("INSERT INTO deliveries (queue, study, item) VALUES (?, ?, ?)", values)
                    db.execute("INSERT OR IGNORE INTO lanes (queue, study, due) VALUES (?, ?, 0)", values[:2])
        return int(revision) + 1

    def _claimed(self) -> dict[Queue, int]:
        """Those into which events are put."""
        rows = self._rows("SELECT number, plugin, target FROM queues WHERE claimed")
        return {Queue(plugin, target): number for number, plugin, target in rows}

    def purge(self, before: float, limit: int) -> int:
        with self._db.writing(durable=False) as db:
            gone = db.execute(
                "DELETE FROM events WHERE number IN (SELECT number FROM events AS kept WHERE number < coalesce("
                "(SELECT number FROM events WHERE at >= ? ORDER BY number LIMIT 1), 1 << 62) "
                f"AND {_NOTHING_WAITS} "
                "AND NOT EXISTS (SELECT 1 FROM studies WHERE studies.study = kept.study AND open) "
                "ORDER BY number LIMIT ?)",
                (before, limit),
            )
            db.execute(
                "DELETE FROM completions WHERE number IN (SELECT number FROM completions AS kept "
                f"WHERE upto < (SELECT coalesce(min(number), 1 << 62) FROM events) AND {_NOTHING_WAITS} LIMIT ?)",
                (limit,),
            )
            return gone.rowcount

    # Marks

    def moment(self, at: int) -> int:
        return at

    def last_taken_in(self, moment: int) -> int | None:
        if int(self.noted(_ANSWERED) or 0) > moment:
            [[last]] = self._rows("SELECT coalesce(max(number), 0) FROM events")
            return int(last)
        if self.asked() < moment:
            with self._db.writing(durable=False) as db:
                db.execute("INSERT OR REPLACE INTO notes (key, value) VALUES (?, ?)", (_ASKED, str(moment)))
        return None

    def waits(self, plugin: str, upto: int) -> bool:
        queues = self._delivering(plugin)
        places = ", ".join("?" * len(queues))
        waiting = f"SELECT 1 FROM deliveries WHERE queue IN ({places}) AND item <= ? LIMIT 1"
        return bool(self._rows(waiting, *queues, upto))

    def holds(self, upto: int) -> bool:
        waiting = "SELECT 1 FROM deliveries WHERE queue IN (SELECT number FROM queues WHERE target = ?) AND item <= ?"
        return bool(self._rows(f"{waiting} LIMIT 1", "relocate", upto))

    def forget_moments(self) -> None:
        with self._db.writing(durable=True) as db:
            db.execute("DELETE FROM notes WHERE key IN (?, ?)", (_ASKED, _ANSWERED))

    # Delivery processes

    def release_others(self, queue: int, owners: Collection[str], now: int) -> int:
        with self._db.writing(durable=False) as db:
            marks = ", ".join("?" * len(owners))
            of_others = f"queue = ? AND owner IS NOT NULL AND owner NOT IN ({marks})"
            values = (now, queue, *owners)
            return db.execute(f"UPDATE lanes SET owner = NULL, due = ? WHERE {of_others}", values).rowcount

    def claim(self, queue: int, owner: str, now: int) -> Claim | None:
        query = "SELECT study FROM lanes WHERE queue = ? AND owner IS NULL AND due <= ? ORDER BY due LIMIT 1"
        if not self._rows(query, queue, now):  # most often: this needs no lock
            return None
        with self._db.writing(durable=False) as db:
            found = db.execute(query, (queue, now)).fetchone()
            if found is None:
                return None
            db.execute("UPDATE lanes SET owner = ? WHERE queue = ? AND study = ?", (owner, queue, found[0]))
            return Claim(queue, found[0], owner)

    def keep_claims(self, queue: int, owner: str) -> AbstractContextManager[None]:
        return nullcontext()  # the next process in its place frees them

    def next_many(self, claim: Claim, limit: int) -> list[Item]:
        rows = self._rows(
            "SELECT item, attempts, target FROM deliveries JOIN queues ON queues.number = queue "
            "WHERE queue = ? AND study = ? ORDER BY item LIMIT ?",
            claim.queue,
            claim.study,
            limit,
        )
        return [self._item(*row) for row in rows]

    def done(self, claim: Claim, item: Item) -> None:
        self.all_done([(claim, item)])

    def all_done(self, deliveries: Collection[tuple[Claim, Item]]) -> None:
        with self._db.writing(durable=False) as db:
            for claim, item in deliveries:
                self._delete(db, claim, item)

    def failed(self, claim: Claim, item: Item, due: int) -> None:
        with self._db.writing(durable=False) as db:
            db.execute(
                "UPDATE deliveries SET attempts = attempts + 1 WHERE queue = ? AND study = ? AND item = ?",
                (claim.queue, claim.study, item.number),
            )
            self._give_back(db, claim, due)

    def relocated(self, claim: Claim, item: Item, data: bytes, now: int) -> bool:
        with self._db.writing(durable=True) as db:
            self._delete(db, claim, item)
            if claim.study.startswith(HELD):
                [[id]] = db.execute("SELECT id FROM events WHERE number = ?", (item.number,))
                db.execute("DELETE FROM events WHERE number = ?", (item.number,))
                # with a number of its own: the study may have been completed with later ones meanwhile
                self._add(db, [NewEvent(id, decode(data), data)], now, may_hold=False)
        return True

    def held_locations(self) -> set[bytes]:
        rows = self._each("SELECT record FROM events WHERE study GLOB ?", f"{HELD}*")
        return {record.location for (data,) in rows if (record := decode_or_none(data)) is not None}

    def put_aside(self, claim: Claim, item: Item, reason: str) -> None:
        with self._db.writing(durable=True) as db:
            db.execute(
                "INSERT OR REPLACE INTO put_aside (queue, study, item, attempts, reason, at) VALUES (?, ?, ?, ?, ?, ?)",
                (claim.queue, claim.study, item.number, item.attempts + 1, reason, time.time()),
            )
            self._delete(db, claim, item)

    def release(self, claim: Claim, now: int) -> None:
        with self._db.writing(durable=False) as db:
            self._give_back(db, claim, now)

    @staticmethod
    def _delete(db: Any, claim: Claim, item: Item) -> None:
        db.execute(
            "DELETE FROM deliveries WHERE queue = ? AND study = ? AND item = ?",
            (claim.queue, claim.study, item.number),
        )

    @staticmethod
    def _give_back(db: Any, claim: Claim, due: int) -> None:
        """Also if all its deliveries are done: then it is no lane any more."""
        own = (claim.queue, claim.study, claim.owner)
        db.execute(
            "DELETE FROM lanes WHERE queue = ? AND study = ? AND owner = ? AND NOT EXISTS "
            "(SELECT 1 FROM deliveries WHERE deliveries.queue = lanes.queue AND deliveries.study = lanes.study)",
            own,
        )
        db.execute("UPDATE lanes SET owner = NULL, due = ? WHERE queue = ? AND study = ? AND owner = ?", (due, *own))
