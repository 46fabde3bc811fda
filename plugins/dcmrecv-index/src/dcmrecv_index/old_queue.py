"""Takes over the queue of earlier versions: files of lines, one JSON array for each instance that was stored.

What waits in it is written into the database once, before the first delivery, and the queue is removed. Lines that
cannot be indexed are kept in a file beside it, with those that were put aside before.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from dcmrecv_index.conflicts import Contradiction, Warnings
from dcmrecv_index.database import Database, RefusedError
from dcmrecv_index.record import Record
from dcmrecv_index.schema import has_table
from dcmrecv_index.write import write

log = logging.getLogger("dcmrecv.index")

DIRECTORY = "index-queue"
PUT_ASIDE = "index-put-aside.jsonl"
"""In the state directory: what cannot be indexed."""

_OLD_PUT_ASIDE = "put-aside.jsonl"
_KINDS = (str, str, str, str, int, int, dict)


def take_over(database: Database, state_directory: Path, warnings: Warnings) -> None:
    """Write all that waits in the queue, if there is one, and remove it. Of two lines of an instance the one that was
    received later counts. If this process is killed before the end, the next one begins again.

    Raises DatabaseError, OSError.
    """
    directory = state_directory / DIRECTORY
    if not directory.is_dir():
        return
    found: list[Contradiction | None] = []
    refused: list[dict[str, str]] = []
    with database.writing():
        files = sorted(path for path in directory.glob("*.jsonl") if path.name != _OLD_PUT_ASIDE)
        for path, line in _lines(files, _positions(database)):
            try:
                with database.savepoint():
                    found.append(write(database, _parsed(line), only_later=True))
            except (ValueError, RefusedError) as error:
                log.error("a line of %s is not indexed: %s; see %s", path, error, state_directory / PUT_ASIDE)
                now = datetime.now(UTC).isoformat(timespec="seconds")
                refused.append({"time": now, "reason": str(error), "line": line.decode("latin-1")})
        _put_aside(state_directory, refused)
    warnings.warn(found)
    for path in files:
        path.unlink(missing_ok=True)
    with suppress(OSError):  # it has something that is not the queue's
        directory.rmdir()
    if found:
        log.info("%d instances taken over from the queue of an earlier version", len(found))


def _lines(files: list[Path], positions: Mapping[str, int]) -> Iterator[tuple[Path, bytes]]:
    for path in files:
        with path.open("rb") as file:
            file.seek(positions.get(path.name, 0))
            yield from ((path, line) for line in file if line.endswith(b"\n"))  # else the writer was killed


def _parsed(line: bytes) -> Record:
    """Raises ValueError for anything but a whole line."""
    try:
        values = json.loads(line)
    except RecursionError as error:
        raise ValueError("not a record") from error
    kinds = tuple(map(type, values)) if isinstance(values, list) else ()
    if kinds[: len(_KINDS)] != _KINDS:
        raise ValueError("not a record")
    return Record(*values[: len(_KINDS)])


def _positions(database: Database) -> dict[str, int]:
    """How much of each file is in the database."""
    if not has_table(database, "queue_positions"):
        return {}
    return dict(database.execute("SELECT name, position FROM queue_positions"))


def _put_aside(state_directory: Path, entries: list[dict[str, str]]) -> None:
    """Keep these entries, and those that were put aside before."""
    old = state_directory / DIRECTORY / _OLD_PUT_ASIDE
    before = old.read_bytes() if old.exists() else b""
    content = before + b"".join(json.dumps(entry).encode("ascii") + b"\n" for entry in entries)
    if not content:
        return
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    with open(os.open(state_directory / PUT_ASIDE, flags, 0o600), "ab") as file:  # it holds names of patients
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    old.unlink(missing_ok=True)
