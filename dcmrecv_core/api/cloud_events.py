"""What `deliver`, `study_completed` and `series_completed` are told, as CloudEvents 1.0 in the JSON format:
https://github.com/cloudevents/spec."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from dcmrecv_core.api.outcomes import Series, StoredEvent, Study
from dcmrecv_core.api.settings import PluginSettings

_OF_INSTANCE = (
    "sop_class_uid",
    "sop_instance_uid",
    "transfer_syntax_uid",
    "study_instance_uid",
    "series_instance_uid",
    "patient_id",
    "modality",
    "how",
    "size",
    "calling_ae_title",
    "called_ae_title",
    "peer_address",
    "association_id",
    "recovered",
)


def cloud_event_source(settings: PluginSettings) -> str:
    """This receiver as the `source` of its CloudEvents: `dcmrecv://receiver1:11112`."""
    return f"dcmrecv://{os.uname().nodename}" + f":{settings.port}" * bool(settings.port)


def cloud_event(event: StoredEvent | Study | Series, source: str) -> dict[str, Any]:
    """A CloudEvent that `json.dumps` can encode; its `id` is that of `event`, `type` `dcmrecv.instance.stored`,
    `dcmrecv.study.completed` or `dcmrecv.series.completed`.

    Paths are absolute. Attributes without a value are left out, as the standard wants it; in `data` they are None or
    "".
    """
    if isinstance(event, StoredEvent):
        return _made(event.id, "instance.stored", source, event.sop_instance_uid, event.received_at, _instance(event))
    if isinstance(event, Study):
        kind, subject, own = "study.completed", event.study_instance_uid, {}
    else:
        kind, subject = "series.completed", event.series_instance_uid
        own = {"series_instance_uid": event.series_instance_uid, "modality": event.modality}
    data = {
        "study_instance_uid": event.study_instance_uid,
        **own,
        "patient_id": event.patient_id,
        "revision": event.revision,
        "directory": None if event.directory is None else _absolute(event.directory),
        "senders": list(event.senders),
        "first_received_at": _timestamp(event.first_received_at),
        "last_received_at": _timestamp(event.last_received_at),
        "instances": [_instance(each) for each in event.instances],
        "new": [each.sop_instance_uid for each in event.new],
    }
    return _made(event.id, kind, source, subject, event.last_received_at, data)


def _instance(event: StoredEvent) -> dict[str, Any]:
    return {
        "location": _absolute(event.location),
        "received_at": _timestamp(event.received_at),
        **{name: getattr(event, name) for name in _OF_INSTANCE},
    }


def _made(id: str, kind: str, source: str, subject: str, time: datetime | None, data: dict[str, Any]) -> dict[str, Any]:
    optional = {"subject": subject, "time": _timestamp(time)}
    return {
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": f"dcmrecv.{kind}",
        **{name: value for name, value in optional.items() if value},
        "datacontenttype": "application/json",
        "data": data,
    }


def _absolute(location: str) -> str:
    """The absolute path of a file; a URI, which is where a plugin has stored an instance, stays as it is."""
    return location if "://" in location else os.path.abspath(location)


def _timestamp(moment: datetime | None) -> str | None:
    """RFC 3339, as in `2026-11-22T09:25:35.085972Z`."""
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
