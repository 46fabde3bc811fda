"""Events as CloudEvents 1.0 in the JSON format: https://github.com/cloudevents/spec."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dcmrecv_actions.fields import DATA_SET, SENDER, absolute, timestamp
from dcmrecv_core import StoredEvent, Study

INSTANCE_STORED = "dcmrecv.instance.stored"
STUDY_COMPLETED = "dcmrecv.study.completed"

_OF_INSTANCE = (*DATA_SET, "how", "size", *SENDER, "association_id", "recovered")


def instance_stored(event: StoredEvent, source: str) -> dict[str, Any]:
    return _event(event.id, INSTANCE_STORED, source, event.sop_instance_uid, event.received_at, _instance(event))


def study_completed(study: Study, source: str) -> dict[str, Any]:
    data = {
        "study_instance_uid": study.study_instance_uid,
        "patient_id": study.patient_id,
        "revision": study.revision,
        "directory": None if study.directory is None else absolute(study.directory),
        "senders": list(study.senders),
        "first_received_at": timestamp(study.first_received_at),
        "last_received_at": timestamp(study.last_received_at),
        "instances": [_instance(event) for event in study.instances],
        "new": [event.sop_instance_uid for event in study.new],
    }
    return _event(study.id, STUDY_COMPLETED, source, study.study_instance_uid, study.last_received_at, data)


def _instance(event: StoredEvent) -> dict[str, Any]:
    return {
        "location": absolute(event.location),
        "received_at": timestamp(event.received_at),
        **{name: getattr(event, name) for name in _OF_INSTANCE},
    }


def _event(
    id: str, type: str, source: str, subject: str, time: datetime | None, data: dict[str, Any]
) -> dict[str, Any]:
    """Attributes that have no value are left out, as the standard wants it; in the data they are null or ""."""
    optional = {"subject": subject, "time": timestamp(time)}
    return {
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": type,
        **{name: value for name, value in optional.items() if value},
        "datacontenttype": "application/json",
        "data": data,
    }
