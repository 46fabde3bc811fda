"""Records of the journal as the events that plugins get."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dcmrecv_core.api.outcomes import StoredEvent
from dcmrecv_core.dataset.values import decode_text
from dcmrecv_core.storage.journals.records import HOW, Kind, Record, decode, encode

if TYPE_CHECKING:
    from dcmrecv_core.api.settings import Locations


def event_of(id: str, data: bytes, locations: Locations | None = None) -> StoredEvent:
    """The event of a record. Raises ValueError if that is damaged."""
    record = decode(data)
    recovered = record.kind is Kind.RECOVERED
    return StoredEvent(
        id=id,
        location=os.fsdecode(record.location),
        how=HOW[record.how],  # type: ignore[arg-type]  # the names of HowStored
        recovered=recovered,
        sop_class_uid=_text(record.sop_class_uid),
        sop_instance_uid=_text(record.sop_instance_uid),
        transfer_syntax_uid=_text(record.transfer_syntax_uid),
        study_instance_uid=uid_of(record.study_instance_uid),
        series_instance_uid=uid_of(record.series_instance_uid),
        patient_id=decode_text(record.patient_id, record.specific_character_set).strip(" \0"),
        modality=uid_of(record.modality),
        size=record.size,
        received_at=None if recovered else datetime.fromtimestamp(record.received / 1e9, UTC),
        calling_ae_title=None if recovered else _text(record.calling_ae_title),
        called_ae_title=None if recovered else _text(record.called_ae_title),
        peer_address=None if recovered else _text(record.peer_address),
        association_id=None if recovered else _text(record.association_id),
        digest=record.digest.decode("ascii", "replace") or None,
        original_uid_hash=record.original_uid_hash.hex() or None,
        _locations=locations,
    )


def study_key(record: Record) -> str:
    """What is delivered one after the other: a study; an instance without a Study Instance UID by itself."""
    return uid_of(record.study_instance_uid) or f"{WITHOUT_STUDY}{_text(record.sop_instance_uid)}"


WITHOUT_STUDY = "instance "
"""How the key of an instance without a study begins."""

HELD = "held "
"""Stands before the key of an instance that is to be relocated: until it is, it belongs to no study."""


def is_study(key: str) -> bool:
    """Whether it is the key of a study, which can be complete."""
    return not key.startswith((WITHOUT_STUDY, HELD))


def is_file(record: Record) -> bool:
    """Whether the instance is in a file of its receiver."""
    return b"://" not in record.location


def at_location(data: bytes, location: str) -> bytes:
    """A record with another location. Raises ValueError if it is damaged."""
    kind, how, published, received, size, _, *texts, digest = decode(data)
    return encode(kind, how, published, received, size, (os.fsencode(location), *texts), digest)


def uid_of(value: bytes) -> str:
    """A UID or a code: cut at the first NUL, without blanks around it."""
    return value.partition(b"\0")[0].strip(b" ").decode("latin-1")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def decode_or_none(data: bytes) -> Record | None:
    """The record, None if it is damaged."""
    try:
        return decode(data)
    except ValueError:
        return None
