"""What commands are told of an instance, a series or a study: names and texts.

A field is the placeholder `#{name}` in a command and the environment variable `DCMRECV_NAME`; five have storescp's
letters too. None is a value that is not known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from dcmrecv_core import Series, StoredEvent, Study

Fields = Mapping[str, str | None]

LETTERS = {
    "p": "directory",
    "f": "file_name",
    "a": "calling_ae_title",
    "c": "called_ae_title",
    "r": "peer_address",
}
"""storescp's placeholders: `#p` ..."""

PLACEHOLDER = re.compile(r"\#(?:\{[^}]*\}|[A-Za-z])")

SENDER = ("calling_ae_title", "called_ae_title", "peer_address")
DATA_SET = (
    "sop_class_uid",
    "sop_instance_uid",
    "transfer_syntax_uid",
    "study_instance_uid",
    "series_instance_uid",
    "patient_id",
    "modality",
)
"""What an event tells of the data set."""

_COMPLETED = ("id", "directory", *SENDER, "study_instance_uid", "patient_id", "revision")
_NUMBERS = ("number_of_instances", "number_of_new_instances")

OF_INSTANCE = (
    "id",
    "location",
    "directory",
    "file_name",
    *SENDER,
    *DATA_SET,
    "how",
    "size",
    "received_at",
)
OF_SERIES = (*_COMPLETED, "series_instance_uid", "modality", *_NUMBERS)
OF_STUDY = (*_COMPLETED, *_NUMBERS)


def variable(field: str) -> str:
    """The environment variable of a field."""
    return f"DCMRECV_{field.upper()}"


def of_instance(event: StoredEvent) -> Fields:
    """The fields of `OF_INSTANCE`."""
    location = absolute(event.location)
    directory, name = os.path.split(location)
    return {
        "id": event.id,
        "location": location,
        "directory": directory,
        "file_name": name,
        **_sender([event]),
        **{name: getattr(event, name) for name in DATA_SET},
        "how": event.how,
        "size": str(event.size),
        "received_at": timestamp(event.received_at),
    }


def of_study(study: Study | Series) -> Fields:
    """The fields of `OF_STUDY`, or of `OF_SERIES`. The sender is that of the last new instance."""
    fields = {
        "id": study.id,
        "directory": None if study.directory is None else absolute(study.directory),
        **_sender(reversed([*study.instances, *study.new])),
        "study_instance_uid": study.study_instance_uid,
        "patient_id": study.patient_id,
        "revision": str(study.revision),
        "number_of_instances": str(len(study.instances)),
        "number_of_new_instances": str(len(study.new)),
    }
    if isinstance(study, Series):
        fields.update(series_instance_uid=study.series_instance_uid, modality=study.modality)
    return fields


def absolute(location: str) -> str:
    """The absolute path of a file; a URI, which is where a plugin has stored an instance, stays as it is."""
    return location if "://" in location else os.path.abspath(location)


def timestamp(moment: datetime | None) -> str | None:
    """As in RFC 3339: `2026-11-22T09:25:35.085972Z`."""
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def _sender(events: Iterable[StoredEvent]) -> dict[str, str | None]:
    """Of the first of `events` that has one: after a power cut it is not known who sent an instance."""
    for event in events:
        if event.calling_ae_title is not None:
            return {name: getattr(event, name) for name in SENDER}
    return dict.fromkeys(SENDER)
