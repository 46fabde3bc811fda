"""Indexes files that no event told of: stored before the plugin was used, copied in, moved."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from dcmrecv_index.conflicts import Contradiction, Warnings
from dcmrecv_index.database import Database, RefusedError
from dcmrecv_index.record import Record, record_of_file
from dcmrecv_index.rows import storable_path
from dcmrecv_index.studies import forget_childless
from dcmrecv_index.write import write

log = logging.getLogger("dcmrecv.index")

STATE_DIRECTORY = ".dcmrecv"
"""The state directory, in the output directory: it holds no received files."""

_BATCH = 1000


class Found(NamedTuple):
    """The result of a rescan: instances found, rows deleted because their files are gone, files not indexed."""

    instances: int
    pruned: int
    failed: int


def rescan(database: Database, directory: Path, *, prune: bool = False) -> Found:
    """Write every DICOM file below `directory` into the database, as received when the file was written.

    Rows of a later time stay as they are. With `prune` rows whose files are gone are deleted first, so that moved files
    are found at their new place. DICOM files that cannot be read or indexed are logged and counted. Raises
    DatabaseError, OSError if `directory` cannot be read.
    """
    directory = directory.absolute()
    os.scandir(directory).close()
    pruned = _prune(database, directory) if prune else 0
    failed: list[str] = []
    records = _records(directory, failed)
    warnings = Warnings()
    count = 0
    while batch := list(islice(records, _BATCH)):
        found: list[Contradiction | None] = []
        with database.writing():
            for record in batch:
                try:
                    with database.savepoint():
                        found.append(write(database, record, only_later=True, keep_told=True))
                except RefusedError as error:
                    log.error("%s: SOP instance %s is not indexed: %s", record.location, record.sop_instance_uid, error)
                    failed.append(record.location)
        count += len(found)
        warnings.warn(found)
    return Found(count, pruned, len(failed))


def _records(directory: Path, failed: list[str]) -> Iterator[Record]:
    """The records of all DICOM files that can be read; the paths of the others are appended to `failed`."""
    for parent, directories, names in os.walk(directory, onerror=lambda error: log.warning("%s", error)):
        directories[:] = sorted(name for name in directories if name != STATE_DIRECTORY)
        for name in sorted(names):
            path = Path(parent, name)
            try:
                record = record_of_file(path) if path.is_file() else None
            except Exception as error:  # pydicom raises many kinds for broken files; one must not end the search
                log.error("%s: cannot be read: %s", path, error)
                failed.append(str(path))
                continue
            if record is not None and record.sop_instance_uid:
                yield record


def _prune(database: Database, directory: Path) -> int:
    prefix = storable_path(os.path.join(directory, ""))
    known = database.execute(
        # not LIKE, which ignores case on SQLite
        "SELECT sop_instance_uid, location FROM instances WHERE substr(location, 1, :length) = :prefix",
        {"length": len(prefix), "prefix": prefix},
    )
    gone = [(key, location) for key, location in known if not os.path.lexists(location)]
    with database.writing():
        for key, location in gone:
            # the location, too: the instance may have been sent again meanwhile
            database.execute(
                "DELETE FROM instances WHERE sop_instance_uid = :key AND location = :location",
                {"key": key, "location": location},
            )
        forget_childless(database)
    return len(gone)
