"""The record of one instance: undecoded elements and, if an event told of it, who sent it."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom.filereader import read_file_meta_info

from dcmrecv_core import StoredEvent, read_elements

log = logging.getLogger("dcmrecv.index")

ELEMENTS: Mapping[str, int] = {
    "SpecificCharacterSet": 0x00080005,
    "SOPClassUID": 0x00080016,
    "SOPInstanceUID": 0x00080018,
    "StudyDate": 0x00080020,
    "SeriesDate": 0x00080021,
    "StudyTime": 0x00080030,
    "AccessionNumber": 0x00080050,
    "Modality": 0x00080060,
    "ReferringPhysicianName": 0x00080090,
    "StudyDescription": 0x00081030,
    "SeriesDescription": 0x0008103E,
    "PatientName": 0x00100010,
    "PatientID": 0x00100020,
    "IssuerOfPatientID": 0x00100021,
    "PatientBirthDate": 0x00100030,
    "PatientSex": 0x00100040,
    "BodyPartExamined": 0x00180015,
    "StudyInstanceUID": 0x0020000D,
    "SeriesInstanceUID": 0x0020000E,
    "StudyID": 0x00200010,
    "SeriesNumber": 0x00200011,
    "InstanceNumber": 0x00200013,
}
"""All are text; their keywords are those of the record's `elements`."""

LONGEST_VALUE = 1024
"""Bytes that are kept of a value: more than the longest legal one here, a person name in three groups."""

LONGEST_READ = 1 << 20
"""Bytes that are read of a value. One that is longer than what is kept gets a hash of them: it may be a key."""


_META_START = 144  # preamble, "DICM", (0002,0000), whose value counts from there (PS3.10 section 7.1)


@dataclass(frozen=True, slots=True)
class Record:
    """One stored instance: UIDs, where it is, bytes of its data set, when (nanoseconds since the epoch), elements.

    `elements` has the bytes of values as Latin-1 text, which loses nothing; absent and empty elements are left out.
    What only an event knows is None without one. `from_file` is false if the file could not be read: its elements are
    the few of the event.
    """

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    location: str
    size: int
    received: int
    elements: Mapping[str, str]
    calling_ae_title: str | None = None
    called_ae_title: str | None = None
    peer_address: str | None = None
    digest: str | None = None
    original_uid_hash: str | None = None
    from_file: bool = True


def record_of_event(event: StoredEvent) -> Record:
    """The record of a stored instance, read from its file. Raises OSError if that cannot be read now."""
    try:
        elements, written = _elements_at(event)
        from_file = True
    except (FileNotFoundError, LookupError, ValueError) as error:
        log.info("SOP instance %s: its file %s cannot be read: %s", event.sop_instance_uid, event.location, error)
        elements, written = _elements_told(event), 0
        from_file = False
    # A file is written after its data set was received; with the later time a rescan finds nothing new.
    received = max(written, int(event.received_at.timestamp() * 1e9) if event.received_at else 0)
    return Record(
        # as in the File Meta Information: the data set's, if it names one
        sop_instance_uid=uid(elements.get("SOPInstanceUID", "")) or event.sop_instance_uid,
        sop_class_uid=uid(elements.get("SOPClassUID", "")) or event.sop_class_uid,
        transfer_syntax_uid=event.transfer_syntax_uid,
        location=absolute(event.location),
        size=event.size,
        received=received or time.time_ns(),
        elements=elements,
        calling_ae_title=event.calling_ae_title,
        called_ae_title=event.called_ae_title,
        peer_address=event.peer_address,
        digest=event.digest,
        original_uid_hash=event.original_uid_hash,
        from_file=from_file,
    )


def _elements_at(event: StoredEvent) -> tuple[dict[str, str], int]:
    """The elements of the file, and when that was written, in nanoseconds since the epoch; 0 if it is none."""
    with event.open() as file:
        try:
            status = os.fstat(file.fileno())
        except OSError:  # a plugin has it elsewhere
            with tempfile.TemporaryFile() as copy:
                shutil.copyfileobj(file, copy)
                copy.flush()
                return _elements_of(copy), 0
        return _elements_of(file), status.st_mtime_ns


def _elements_told(event: StoredEvent) -> dict[str, str]:
    texts = {
        "StudyInstanceUID": event.study_instance_uid,
        "SeriesInstanceUID": event.series_instance_uid,
        "PatientID": event.patient_id,
        "Modality": event.modality,
    }
    raw = {key: text.encode("utf-8", "replace").decode("latin-1") for key, text in texts.items() if text}
    return {"SpecificCharacterSet": "ISO_IR 192", **raw}


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
            elements = _elements_of(file)
        except ValueError:
            if has_uid:
                raise
            return None
        if not elements:  # stored with --bit-preserving, or in a transfer syntax that is not known
            if not has_uid:
                return None
            log.warning("%s: its data set cannot be read: it has no patient and no study in the index", path)
        return Record(
            sop_instance_uid=uid(elements.get("SOPInstanceUID", "")) or str(meta.get("MediaStorageSOPInstanceUID", "")),
            sop_class_uid=uid(elements.get("SOPClassUID", "")) or str(meta.get("MediaStorageSOPClassUID", "")),
            transfer_syntax_uid=str(meta.get("TransferSyntaxUID", "")),
            location=os.path.abspath(path),
            size=max(0, status.st_size - _META_START - int(meta.get("FileMetaInformationGroupLength", 0))),
            received=status.st_mtime_ns,
            elements=elements,
        )


def _elements_of(file: BinaryIO) -> dict[str, str]:
    found = read_elements(file, ELEMENTS.values(), LONGEST_READ)
    values = {key: kept(found[tag].value) for key, tag in ELEMENTS.items() if tag in found}
    return {key: value for key, value in values.items() if value}


def kept(value: bytes) -> str:
    """The bytes of a value as a record has them."""
    if len(value) > LONGEST_VALUE:
        value = value.strip(b" \0")
        if len(value) > LONGEST_VALUE:
            value = b"%b~%b" % (value[:LONGEST_VALUE], hashlib.sha256(value).hexdigest().encode())
    return value.decode("latin-1")


def uid(text: str) -> str:
    """A UID without its padding."""
    return text.partition("\0")[0].strip(" ")


def absolute(location: str) -> str:
    """A path in the form in which the index keeps it; a URI as it is."""
    return location if "://" in location else os.path.abspath(location)
