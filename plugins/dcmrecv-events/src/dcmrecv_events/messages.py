"""What is published: a CloudEvent, and what servers are told of it besides."""

from __future__ import annotations

import json
from dataclasses import dataclass

from dcmrecv_core import Series, StoredEvent, Study, cloud_event

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
"""The structured mode of CloudEvents: all of the event is in the body."""


@dataclass(frozen=True, slots=True)
class Message:
    """`id` is that of the event, the same each time it is published; `study` the Study Instance UID."""

    id: str
    type: str
    study: str
    body: bytes


def message_of(event: StoredEvent | Study | Series, source: str) -> Message:
    """The message that tells of an instance, a series or a study."""
    told = cloud_event(event, source)
    body = json.dumps(told, separators=(",", ":")).encode()
    return Message(event.id, told["type"], event.study_instance_uid, body)
