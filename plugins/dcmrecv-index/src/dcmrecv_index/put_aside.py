"""Records that cannot be indexed: they are put aside, so that those after them are not held up."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from dcmrecv_index.queue import PUT_ASIDE
from dcmrecv_index.queue_order import Line

log = logging.getLogger("dcmrecv.index")

T = TypeVar("T")

# SQLSTATE classes of errors that one row causes: data exception, integrity violation, program limit exceeded (a value
# too long for an index), which psycopg reports as OperationalError.
_OF_ONE_ROW = ("22", "23", "54")


def store_each(store: Callable[[list[T]], None], batch: list[T], refused: Callable[[T, Exception], None]) -> None:
    """Store a batch; if an item cannot be stored, find it by halving, call `refused` with it, and store the rest.

    Raises errors that concern all items: the database cannot be used.
    """
    try:
        store(batch)
    except Exception as error:
        if not concerns_one_record(error):
            raise
        if len(batch) == 1:
            refused(batch[0], error)
            return
        half = len(batch) // 2
        store_each(store, batch[:half], refused)
        store_each(store, batch[half:], refused)


def concerns_one_record(error: Exception) -> bool:
    """Whether other records can be stored though this one cannot: its values, not the database, are the reason."""
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return False
        state = getattr(error.orig, "sqlstate", None) or ""
        return isinstance(error, DataError | IntegrityError) or state.startswith(_OF_ONE_ROW)
    if isinstance(error, SQLAlchemyError):
        return isinstance(error, StatementError)  # a value that the database's driver cannot take
    return not isinstance(error, OSError | MemoryError | OvertakenError)


class OvertakenError(Exception):
    """Meanwhile another process has moved the queue's lines into the database."""


def put_aside(directory: Path, line: Line, error: Exception) -> None:
    """Append a line of the queue to the file in `directory` and name it in the log. Raises OSError."""
    reason = "the line cannot be read" if line.record is None else reason_of(error)
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "reason": reason,
        "error": f"{type(error).__name__}: {error}",
        "queue_file": line.name,
        "line": line.content.decode("latin-1").removesuffix("\n"),
    }
    path = directory / PUT_ASIDE
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)  # it holds names of patients
    with open(fd, "ab") as file:
        file.write(json.dumps(entry).encode("ascii") + b"\n")
        file.flush()
        os.fsync(fd)  # the queue's line is removed next
    record = line.record
    if record is None:
        log.error("%s: %s, put aside in %s: %.80r", line.name, reason, path, line.content)
    else:
        log.error(
            "SOP instance %s in file %s is not indexed: %s; put aside in %s",
            *(record.sop_instance_uid, record.location, reason, path),
        )


def reason_of(error: Exception) -> str:
    """What went wrong, for the log: without values, which are patient data."""
    if isinstance(error, DBAPIError):
        return f"the database refuses it ({type(error.orig).__name__})"
    return f"it cannot be decoded ({type(error).__name__})"
