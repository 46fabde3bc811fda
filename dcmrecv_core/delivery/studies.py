"""A `Study` or a `Series` made of the events of its instances."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from dcmrecv_core.api.outcomes import Series, StoredEvent, Study


def latest(events: Iterable[StoredEvent]) -> tuple[StoredEvent, ...]:
    """Of each SOP instance the latest event, in the order in which the instances came first."""
    by_instance: dict[str, StoredEvent] = {}
    for event in events:
        by_instance[event.sop_instance_uid] = event
    return tuple(by_instance.values())


def make_study(id: str, revision: int, before: Sequence[StoredEvent], new: Sequence[StoredEvent]) -> Study:
    """The study of these events, at least one: those `before` the revision and the `new` ones, each in order."""
    return Study(id=id, revision=revision, **_common(before, new))


def make_series(id: str, revision: int, before: Sequence[StoredEvent], new: Sequence[StoredEvent]) -> Series:
    """As `make_study`."""
    first = (*before, *new)[0]
    return Series(
        id=id,
        revision=revision,
        series_instance_uid=first.series_instance_uid,
        modality=first.modality,
        **_common(before, new),
    )


def _common(before: Sequence[StoredEvent], new: Sequence[StoredEvent]) -> dict[str, Any]:
    events = (*before, *new)
    instances = latest(events)
    times = [event.received_at for event in events if event.received_at is not None]
    titles = [event.calling_ae_title for event in events if event.calling_ae_title is not None]
    return {
        "study_instance_uid": events[0].study_instance_uid,
        "patient_id": events[0].patient_id,
        "instances": instances,
        "new": latest(new),
        "senders": tuple(dict.fromkeys(titles)),
        "first_received_at": min(times, default=None),
        "last_received_at": max(times, default=None),
        "directory": _directory_of(instances),
    }


def _directory_of(instances: Iterable[StoredEvent]) -> str | None:
    directories = {os.path.dirname(event.location) for event in instances}
    if any("://" in event.location for event in instances) or len({os.path.isabs(path) for path in directories}) > 1:
        return None
    return os.path.commonpath(directories)
