"""Makes the rows of the four tables from a record: decodes, cleans, sets keys. It refuses no record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from dcmrecv_core import decode_text
from dcmrecv_index.record import Record, uid

LONGEST_TEXT = 256
"""Characters of a value: DICOM allows 64 (a name three times that), and PostgreSQL indexes 2704 bytes of a row."""

_PERSON_NAMES = ("PatientName", "ReferringPhysicianName")
_NUL = "\uef00"  # stands for the byte 00H, as `decode_text` does it with others; PostgreSQL cannot hold a NUL
_LARGEST_INTEGER = 2**31 - 1  # IS, PS3.5 table 6.2-1

Row = dict[str, Any]


class Rows(NamedTuple):
    """One row of each table."""

    patient: Row
    study: Row
    series: Row
    instance: Row


def rows_of(record: Record) -> Rows:
    """The rows of a record. The key of a study or series without UID is "?" and the key above it, so that the instance
    still belongs to its patient. Different values have different keys; only padding does not count."""
    whole = _decoded(record.elements)
    received = record.received

    def text(keyword: str) -> str:
        return whole(keyword)[:LONGEST_TEXT].rstrip(" ")

    patient: Row = {
        "patient_id": _key(whole("PatientID")),
        "issuer": _key(whole("IssuerOfPatientID")),
        "patient_name": text("PatientName"),
        "birth_date": text("PatientBirthDate"),
        "sex": text("PatientSex"),
        "received": received,
    }
    study = {
        "study_instance_uid": _uid_key(whole("StudyInstanceUID"))
        or _patient_key(patient["patient_id"], patient["issuer"]),
        "patient_id": patient["patient_id"],
        "issuer": patient["issuer"],
        "study_date": text("StudyDate"),
        "study_time": text("StudyTime"),
        "accession_number": text("AccessionNumber"),
        "study_id": text("StudyID"),
        "study_description": text("StudyDescription"),
        "referring_physician": text("ReferringPhysicianName"),
        "received": received,
    }
    series = {
        "series_instance_uid": _uid_key(whole("SeriesInstanceUID")) or f"?{study['study_instance_uid']}",
        "study_instance_uid": study["study_instance_uid"],
        "modality": text("Modality"),
        "series_number": _integer(text("SeriesNumber")),
        "series_date": text("SeriesDate"),
        "series_description": text("SeriesDescription"),
        "body_part": text("BodyPartExamined"),
        "received": received,
    }
    instance = {
        "sop_instance_uid": key_of_uid(record.sop_instance_uid),
        "series_instance_uid": series["series_instance_uid"],
        "sop_class_uid": _key(_clean(uid(record.sop_class_uid))),
        "transfer_syntax_uid": _key(_clean(uid(record.transfer_syntax_uid))),
        "instance_number": _integer(text("InstanceNumber")),
        "location": storable_path(record.location),
        "size": record.size,
        "received": received,
        "calling_ae_title": _told(record.calling_ae_title),
        "called_ae_title": _told(record.called_ae_title),
        "peer_address": _told(record.peer_address),
        "digest": _told(record.digest),
        "original_uid_hash": record.original_uid_hash,
    }
    return Rows(patient, study, series, instance)


def storable_path(path: str) -> str:
    """A path as a database accepts it: bytes that are not UTF-8 become backslash sequences."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _decoded(elements: Mapping[str, str]) -> Callable[[str], str]:
    """A function that returns the whole text of an element, "" if it is absent."""
    character_set = elements.get("SpecificCharacterSet", "")

    def text(keyword: str) -> str:
        value = elements.get(keyword, "").encode("latin-1")
        if keyword in _PERSON_NAMES:
            return _clean(_without_empty_ends(decode_text(value, character_set, vr="PN").strip(" \0")))
        return _clean(decode_text(value, character_set))

    return text


def _told(text: str | None) -> str | None:
    return None if text is None else _clean(text)[:LONGEST_TEXT]


def _without_empty_ends(name: str) -> str:
    """A person name without empty components and groups at its end (PS3.5 section 6.2.1), as the layout has it."""
    return "=".join(group.rstrip("^ ") for group in name.split("=")).rstrip("=")


def _clean(text: str) -> str:
    """The text without padding and without characters that PostgreSQL or UTF-8 cannot hold."""
    return text.strip(" \0").replace("\0", _NUL).encode("utf-8", "replace").decode("utf-8")


def _key(text: str) -> str:
    """A text as a key: one that is too long ends in a hash of the whole, and no other key has that length."""
    if len(text) < LONGEST_TEXT:
        return text
    digest = f"~{hashlib.sha256(text.encode()).hexdigest()}"
    return text[: LONGEST_TEXT - len(digest)] + digest


def key_of_uid(text: str) -> str:
    """The key of an instance with this SOP Instance UID."""
    return _key(_clean(text))


def _uid_key(text: str) -> str:
    """The key of a study or series by its UID, "" without one. A "?" at the beginning is left to keys made here."""
    return _key(f"~{text}" if text.startswith(("?", "~")) else text)


def _patient_key(patient_id: str, issuer: str) -> str:
    """The key of a patient's study without UID."""
    return f"?{issuer.replace('~', '~0').replace('/', '~1')}/{patient_id}"


def _integer(text: str) -> int | None:
    try:
        number = int(text.partition("\\")[0])
    except ValueError:
        return None
    return number if abs(number) <= _LARGEST_INTEGER else None
