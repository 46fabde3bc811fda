"""Writes a record into the tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from dcmrecv_index import conflicts
from dcmrecv_index.conflicts import Contradiction
from dcmrecv_index.database import Database, DatabaseError, RefusedError
from dcmrecv_index.record import Record
from dcmrecv_index.rows import Row, Rows, rows_of
from dcmrecv_index.schema import KEYS, OF_EVENTS


def write(
    database: Database, record: Record, *, only_later: bool = False, keep_told: bool = False
) -> Contradiction | None:
    """Write the rows of a record in a transaction of `writing`.

    They replace what is there, whatever the clock said: events come in their order. With `only_later`, for what comes
    in no order, rows of a later time stay as they are; with `keep_told`, for files that were found, what only events
    know stays, too. Returns the contradiction to the index, to be told after the commit.

    Raises DatabaseError, RefusedError.
    """
    with one_record():
        rows = rows_of(record)
        index = conflicts.known(database, rows)
        if only_later and index.received is not None and index.received > record.received:
            return None
        if not record.from_file and index.patient_id == rows.study["patient_id"]:  # an event tells no issuer
            rows.patient["issuer"] = rows.study["issuer"] = index.issuer
        found = conflicts.contradiction(index, rows)
        upper: dict[str, Row] = {"patients": rows.patient}
        if found is None:
            upper |= {"studies": rows.study, "series": rows.series}
        elif index.study_of_series is None:
            upper |= {"series": rows.series}
        statements = [
            (_insert(table, tuple(row), only_later=only_later, only_absent=not record.from_file), row)
            for table, row in upper.items()
        ]
        instance = rows.instance
        statements.append((_insert("instances", tuple(instance), only_later=only_later, keep_told=keep_told), instance))
        if found is not None:
            conflict = _conflict(rows)
            statements.append((_insert("conflicts", tuple(conflict), only_later=only_later), conflict))
        elif index.conflict is not None:
            statements.append(("DELETE FROM conflicts WHERE sop_instance_uid = :sop_instance_uid", instance))
        database.execute_all(statements)
        return conflicts.moved(database, found, rows) if found is not None and record.from_file else found


@contextmanager
def one_record() -> Iterator[None]:
    """What is wrong with one record becomes a RefusedError."""
    try:
        yield
    except (DatabaseError, RefusedError, OSError, MemoryError):
        raise
    except Exception as error:  # whatever a value does to decoders and drivers, it must not hold up others
        raise RefusedError(f"it cannot be decoded ({type(error).__name__})") from error


def _conflict(rows: Rows) -> Row:
    told = {**rows.study, **rows.instance}
    columns = ("sop_instance_uid", "study_instance_uid", "patient_id", "issuer", "location", "received")
    return {column: told[column] for column in columns}


@cache
def _insert(
    table: str,
    columns: tuple[str, ...],
    *,
    only_later: bool = False,
    only_absent: bool = False,
    keep_told: bool = False,
) -> str:
    keys = KEYS[table]
    values = {column: f"excluded.{column}" for column in columns if column not in keys}
    if keep_told:
        values |= {column: f"coalesce(excluded.{column}, {table}.{column})" for column in OF_EVENTS}
    action = "UPDATE SET " + ", ".join(f"{column} = {value}" for column, value in values.items())
    if only_later:
        action += f" WHERE excluded.received >= {table}.received"
    parameters = ", ".join(f":{column}" for column in columns)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({parameters}) "
        f"ON CONFLICT ({', '.join(keys)}) DO {'NOTHING' if only_absent else action}"
    )
