"""Indexes files that are not in the queue: stored before the plugin was used, copied in, or lost in a power failure."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from pydicom.filereader import read_file_meta_info
from sqlalchemy import Engine, delete, exists, func, select

from dcmrecv_core import read_elements
from dcmrecv_index import conflicts
from dcmrecv_index.database import upsert, writing
from dcmrecv_index.put_aside import reason_of, store_each
from dcmrecv_index.record import ELEMENTS, LONGEST_READ, Record, kept, uid
from dcmrecv_index.rows import storable_path
from dcmrecv_index.tables import Conflict, Instance, Patient, Series, Study

log = logging.getLogger("dcmrecv.index")

STATE_DIRECTORY = ".dcmrecv"
"""The state directory, in the output directory: it holds no received files."""

_BATCH = 1000
_META_START = 144  # preamble, "DICM", (0002,0000), whose value counts from there (PS3.10 section 7.1)


class Found(NamedTuple):
    """The result of a rescan: instances found, rows deleted because their files are gone, files not indexed."""

    instances: int
    pruned: int
    failed: int


def rescan(engine: Engine, directory: Path, *, prune: bool = False) -> Found:
    """Write every DICOM file below `directory` into the database, as received when the file was written.

    Rows of a later time stay as they are. With `prune` rows whose files are gone are deleted first, so that moved files
    are found at their new place. Raises SQLAlchemyError, OSError if `directory`
    cannot be read; DICOM files that cannot be read or stored in the database are logged and counted.
    """
    directory = directory.absolute()
    os.scandir(directory).close()
    pruned = _prune(engine, directory) if prune else 0
    failed: list[str] = []
    records = _records(directory, failed)
    count = 0

    def store(batch: list[Record]) -> None:
        nonlocal count
        with writing(engine) as connection:
            contradictions = upsert(connection, batch, only_later=True)
        count += len(batch)
        conflicts.warn(contradictions)

    def refused(record: Record, error: Exception) -> None:
        log.error("%s: SOP instance %s is not indexed: %s", record.location, record.sop_instance_uid, reason_of(error))
        failed.append(record.location)

    while batch := list(islice(records, _BATCH)):
        store_each(store, batch, refused)
    return Found(count, pruned, len(failed))


def record_of_file(path: Path) -> Record | None:
    """The record of a DICOM file, None if it is something else: no element of it can be read, and its File Meta
    Information names no instance. Raises what pydicom does for broken File Meta Information, ValueError if it ends
    there."""
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if file.read(132)[128:] != b"DICM":
            return None
        status = os.fstat(file.fileno())
        meta = read_file_meta_info(path)
        has_uid = "MediaStorageSOPInstanceUID" in meta
        try:
            found = read_elements(file, ELEMENTS.values(), LONGEST_READ)
        except ValueError:
            if has_uid:
                raise
            return None
        if not found:  # stored with --bit-preserving, or in a transfer syntax that is not known
            if not has_uid:
                return None
            log.warning("%s: its data set cannot be read: it has no patient and no study in the index", path)
        elements = {key: kept(found[tag].value) for key, tag in ELEMENTS.items() if tag in found}
        return Record(
            sop_instance_uid=uid(elements.get("SOPInstanceUID", "")) or str(meta.get("MediaStorageSOPInstanceUID", "")),
            sop_class_uid=uid(elements.get("SOPClassUID", "")) or str(meta.get("MediaStorageSOPClassUID", "")),
            transfer_syntax_uid=str(meta.get("TransferSyntaxUID", "")),
            location=os.path.abspath(path),
            size=max(0, status.st_size - _META_START - int(meta.get("FileMetaInformationGroupLength", 0))),
            received=status.st_mtime_ns,
            elements={key: value for key, value in elements.items() if value},
        )


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


def _prune(engine: Engine, directory: Path) -> int:
    prefix = storable_path(os.path.join(directory, ""))
    with engine.connect() as connection:
        known = connection.execute(
            # not LIKE, which ignores case on SQLite
            select(Instance.sop_instance_uid, Instance.location).where(
                func.substr(Instance.location, 1, len(prefix)) == prefix
            )
        )
        gone = sorted((key, location) for key, location in known if not os.path.lexists(location))
    with writing(engine) as connection:
        for key, location in gone:
            # the location, too: the instance may have been sent again meanwhile
            this = (Instance.sop_instance_uid == key) & (Instance.location == location)
            connection.execute(delete(Instance).where(this))
        of_patient = exists().where(Conflict.patient_id == Patient.patient_id, Conflict.issuer == Patient.issuer)
        for parent, child in (
            (Conflict, exists().where(Conflict.sop_instance_uid == Instance.sop_instance_uid)),
            (Series, exists().where(Instance.series_instance_uid == Series.series_instance_uid)),
            (Study, exists().where(Series.study_instance_uid == Study.study_instance_uid)),
            (
                Patient,
                exists().where(Study.patient_id == Patient.patient_id, Study.issuer == Patient.issuer) | of_patient,
            ),
        ):
            connection.execute(delete(parent).where(~child))
    return len(gone)
