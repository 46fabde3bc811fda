"""A database of which a part cannot be read: a new one gets the rows that can be, and what the others may have said.

A process that meets damage leaves a mark beside the file; the journal process, or the next start, mends it. The new
content replaces the old one within the file, by SQLite's backup: one transaction, after which other processes go on
with their connections. What was lost is filled in so that nothing is left undelivered: rather once too often.

    deliveries    all events of the studies that had something to be delivered
    lanes         those of the deliveries
    studies       open ones, with the revisions of their completions
    events        stored files of that time are looked for, as after a power cut
    completions   their deliveries are put aside, and named
    queues        what waited for whom is not known: `dcmrecvctl queue replay` delivers it again
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from contextlib import closing, suppress
from typing import Any, NamedTuple

from dcmrecv_core.delivery.common import COMPLETED
from dcmrecv_core.delivery.events import HELD, WITHOUT_STUDY
from dcmrecv_core.delivery.sqlite.database import Database, is_marked, open_database, unmark
from dcmrecv_core.delivery.store import StoreError

log = logging.getLogger("dcmrecv.delivery")

SLACK = 600.0
"""Seconds around the time of lost events in which stored files are looked for."""

LONGEST_SEARCH = 30 * 86400.0
"""Seconds that are looked back if nothing says how old lost events are: so long they are kept."""

KEYS = {
    "notes": ("key",),
    "files": ("name",),
    "queues": ("number",),
    "events": ("number",),
    "completions": ("number",),
    "deliveries": ("queue", "study", "item"),
    "put_aside": ("queue", "study", "item"),
    "lanes": ("queue", "study"),
    "studies": ("study", "series"),
}
"""Of each table."""

_AT = 4
"""The column of `events` with the time."""

_FILL_DELIVERIES = f"""
INSERT OR IGNORE INTO deliveries (queue, study, item) SELECT queue, study, item FROM (
    SELECT queues.number AS queue, study, events.number AS item FROM queues, events
    WHERE NOT {COMPLETED} AND (target = 'relocate') = (study GLOB '{HELD}*')
    UNION ALL
    SELECT queues.number, study, completions.number FROM queues, completions
    WHERE {COMPLETED} AND (series = '') = (target GLOB 'study*')
) AS due WHERE (queue, study, item) > (?, ?, ?) AND (queue, study, item) < (?, ?, ?) AND NOT EXISTS
(SELECT 1 FROM put_aside WHERE (put_aside.queue, put_aside.study, put_aside.item) = (due.queue, due.study, due.item))
"""

_OF_LANES = "AND EXISTS (SELECT 1 FROM lanes WHERE lanes.queue = due.queue AND lanes.study = due.study)"

_FILL_LANES = "INSERT OR IGNORE INTO lanes (queue, study, due) SELECT DISTINCT queue, study, 0 FROM deliveries"

_FILL_STUDIES = f"""
INSERT OR IGNORE INTO studies (study, series, revision, done, last, open)
SELECT due.study, due.series, coalesce(max(revision), 0), coalesce(max(upto), 0), 0, 1
FROM (SELECT study, series FROM events WHERE series != '' UNION SELECT study, '' FROM events) AS due
LEFT JOIN completions ON (completions.study, completions.series) = (due.study, due.series)
WHERE (due.study, due.series) > (?, ?) AND (due.study, due.series) < (?, ?) AND due.study NOT GLOB '{WITHOUT_STUDY}*'
AND due.study NOT GLOB '{HELD}*'
GROUP BY due.study, due.series
"""

_LAST_NUMBER = """
SELECT coalesce(max(number), 0) FROM (
    SELECT number FROM events UNION ALL SELECT number FROM completions UNION ALL SELECT upto FROM completions
    UNION ALL SELECT done FROM studies UNION ALL SELECT item FROM deliveries UNION ALL SELECT item FROM put_aside
) WHERE number < 1 << 53
"""
_LAST_QUEUE = """
SELECT coalesce(max(number), 0) FROM (
    SELECT number FROM queues UNION ALL SELECT queue FROM deliveries UNION ALL SELECT queue FROM put_aside
    UNION ALL SELECT queue FROM lanes
) WHERE number < 1 << 53
"""
"""Beyond that it is no number that was ever given, but damage."""


class Gap(NamedTuple):
    """Rows of a table that cannot be read are between these two; None for its beginning and its end."""

    after: tuple[Any, ...] | None
    before: tuple[Any, ...] | None


def mend(path: str) -> None:
    """Mend the database, if a process has met damage and it is there. Called where no other process mends, and none
    takes events in. Raises StoreError."""
    if not is_marked(path):
        return
    database = open_database(path)
    try:
        if not _is_whole(database.connection):
            _replace(database, path)
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be mended: {error}") from error
    finally:
        database.close()
    unmark(path)


def _is_whole(connection: sqlite3.Connection) -> bool:
    try:
        return bool(connection.execute("PRAGMA integrity_check(1)").fetchall() == [("ok",)])
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            raise
        return False


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return type(error) is sqlite3.DatabaseError


def _replace(database: Database, path: str) -> None:
    aside, temporary = f"{path}.damaged-{time.strftime('%Y%m%d-%H%M%S')}", f"{path}.mended"
    log.error("a part of %s cannot be read: put aside as %s, what can be read is kept", path, aside)
    _remove(temporary)
    try:
        gaps = _replace_by(database, aside, temporary)
    except BaseException:
        _remove(aside)
        raise
    finally:
        _remove(temporary)
    for table in gaps:
        log.error("%s: rows of the table %s could not be read; %s", path, table, _CONSEQUENCES[table])


def _replace_by(database: Database, aside: str, temporary: str) -> dict[str, Gap]:
    """Copy it to the file `aside`, and its readable rows to the file `temporary`, which then takes its place; returns
    the gaps, by table."""
    os.close(os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(aside)) as damaged, closing(open_database(temporary)) as fresh:
        database.connection.backup(damaged)
        damaged.text_factory = lambda data: data.decode("utf-8", "replace")
        with fresh.writing(durable=False) as new:
            gaps = {table: gap for table in KEYS if (gap := copy_readable(damaged, new, table)) is not None}
            fill(new, gaps, time.time())
        fresh.connection.backup(database.connection)
    return gaps


_DELIVERED_AGAIN = "some deliveries are made again"
_CONSEQUENCES = {
    "notes": "a search for stored files that was under way is given up",
    "files": "the files of the journal are read again",
    "queues": "what waited is not delivered: dcmrecvctl queue replay delivers it again",
    "events": "stored files of that time are looked for, and their deliveries put aside",
    "completions": "their deliveries are put aside",
    "deliveries": _DELIVERED_AGAIN,
    "put_aside": "some deliveries that were put aside are forgotten",
    "lanes": _DELIVERED_AGAIN,
    "studies": "some studies may be completed again",
}


def _remove(path: str) -> None:
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.unlink(path + suffix)


def copy_readable(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> Gap | None:
    """Copy the rows that can be read from both ends of the table; returns where the others are."""
    edges: list[tuple[Any, ...] | None] = []
    for order in ("ASC", "DESC"):
        edge = None
        try:
            columns = ", ".join(f"{column} {order}" for column in KEYS[table])
            for row in source.execute(f"SELECT * FROM {table} ORDER BY {columns}"):
                edge = row
                target.execute(f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            edges.append(edge)
        else:
            return None
    return Gap(*edges)


def fill(db: sqlite3.Connection, gaps: dict[str, Gap], now: float) -> None:
    """What rows may have said that could not be read. `now` is in seconds since 1970."""
    [[number]] = db.execute(_LAST_NUMBER)
    [[queue]] = db.execute(_LAST_QUEUE)
    db.execute("DELETE FROM sqlite_sequence")  # so that no number that is still named gets another meaning
    db.executemany(
        "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)",
        [("events", number), ("completions", number), ("queues", queue)],
    )
    if "queues" in gaps:
        for table in ("queues", "deliveries", "put_aside", "lanes"):
            db.execute(f"DELETE FROM {table}")
    elif "deliveries" in gaps:
        low, high = _bounds(gaps["deliveries"], (-1, "", 0), (1 << 62, "", 0))
        restricted = _FILL_DELIVERIES + _OF_LANES * ("lanes" not in gaps)
        db.execute(restricted, (*low, *high))
    db.execute(_FILL_LANES)
    if "studies" in gaps:
        low, high = _bounds(gaps["studies"], ("", ""), ("\U0010ffff", ""))
        db.execute(_FILL_STUDIES, (*low, *high))
    if "events" in gaps:
        _search(db, gaps["events"], now)


def _bounds(gap: Gap, lowest: tuple[Any, ...], highest: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The keys of a table, which its columns begin with, on both sides of a gap."""
    size = len(lowest)
    return gap.after[:size] if gap.after else lowest, gap.before[:size] if gap.before else highest


def _search(db: sqlite3.Connection, gap: Gap, now: float) -> None:
    """Ask for a search for the files of lost events, as `note_start` does; one that is not finished is a part of it."""
    notes = dict(db.execute("SELECT key, value FROM notes"))
    times = [row[_AT] for row in gap if row is not None]  # in any order: the clock may have been set back
    since = min(times) - SLACK if gap.after else min([now, *times]) - LONGEST_SEARCH
    until = max(times) + SLACK if gap.before else float("inf")
    if "searched since" in notes:
        since = min(since, float(notes["searched since"]))
        until = max(until, float(notes.get("searched until", "inf")))
    db.executemany(
        "INSERT OR REPLACE INTO notes (key, value) VALUES (?, ?)",
        [("searched since", repr(since)), ("searched until", repr(until))],
    )
    db.execute("DELETE FROM notes WHERE key = 'unread directories'")
