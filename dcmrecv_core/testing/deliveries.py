"""What hooks are told after storing, made by hand; and the deliveries of a receiver, without waiting for clocks."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dcmrecv_core.api.model import Association
from dcmrecv_core.api.names import escape
from dcmrecv_core.api.outcomes import Series, StoredEvent, Study
from dcmrecv_core.delivery.opening import open_store
from dcmrecv_core.delivery.store import FileState
from dcmrecv_core.delivery.studies import make_series, make_study
from dcmrecv_core.receive.stored_files import open_stored, remove_stored
from dcmrecv_core.storage.journals.files import DIRECTORY, SUFFIX
from dcmrecv_core.storage.journals.records import Kind, read_records
from dcmrecv_core.testing.fakes import fake_instance
from dcmrecv_core.testing.receivers import DEADLINE, Receiver, until

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

JOURNAL = "journal process"
"""In the log of a receiver with a plugin that delivers."""

_numbers = count(1)

_TURN = 3600.0
"""Seconds: more than any pause, and than ten times the usual `--study-timeout`."""

_LATE = 1 << 62


class _InMemory:
    """Where a file is that was not written."""

    def __init__(self, data: bytes) -> None:
        self._data: bytes | None = data

    def open_location(self, location: str) -> BinaryIO:
        if self._data is None:
            raise FileNotFoundError(location)
        return io.BytesIO(self._data)

    def remove_location(self, location: str) -> bool:
        self._data = None
        return True


class _OnDisk:
    """Files below an output directory."""

    def __init__(self, root: str) -> None:
        self._root = root

    def open_location(self, location: str) -> BinaryIO:
        opened = open_stored(location, self._root)
        if opened is None:
            raise LookupError(f"no plugin can open {location}")
        return opened

    def remove_location(self, location: str) -> bool:
        return bool(remove_stored(location, self._root))


def fake_event(
    dataset: Dataset | None = None,
    *,
    association: Association | None = None,
    output_directory: str | Path = "",
    **fields: Any,
) -> StoredEvent:
    """An event as `deliver` gets it: `dataset` (default: `sample_dataset()`) was stored, sent by `association`.

    `event.open()` gives the file, which is below `output_directory`, or in memory only if that is not given. `fields`
    are fields of `StoredEvent` with other values; for one after a power cut: `recovered=True, calling_ae_title=None`
    and so on.
    """
    instance = fake_instance(dataset, association=association, output_directory=output_directory)
    sender = instance.association
    name = escape(instance.sop_instance_uid, ".dcm")
    location = f"out/{name}"
    locations: _InMemory | _OnDisk
    if output_directory:
        location = instance.save(f"{output_directory}/{name}", "overwrite")
        locations = _OnDisk(str(output_directory))
    else:
        with instance.open() as file:
            locations = _InMemory(file.read())
    known = {
        "id": f"event-{next(_numbers)}",
        "location": location,
        "sop_class_uid": instance.sop_class_uid,
        "sop_instance_uid": instance.sop_instance_uid,
        "transfer_syntax_uid": instance.transfer_syntax_uid,
        "study_instance_uid": str(instance.get("StudyInstanceUID", "")),
        "series_instance_uid": str(instance.get("SeriesInstanceUID", "")),
        "patient_id": str(instance.get("PatientID", "")),
        "modality": str(instance.get("Modality", "")),
        "size": instance.size,
        "received_at": datetime.now(UTC),
        "calling_ae_title": sender.calling_ae_title,
        "called_ae_title": sender.called_ae_title,
        "peer_address": sender.peer_address,
        "association_id": sender.id,
        "_locations": locations,
    }
    return StoredEvent(**{**known, **fields})


def fake_study(*events: StoredEvent, before: Sequence[StoredEvent] = (), revision: int = 1) -> Study:
    """A study as `study_completed` gets it, of these events (default: one `fake_event()`), which are its `new` ones;
    `before` are those of earlier revisions."""
    return make_study(f"study-{next(_numbers)}", revision, before, events or (fake_event(),))


def fake_series(*events: StoredEvent, before: Sequence[StoredEvent] = (), revision: int = 1) -> Series:
    """As `fake_study`, for `series_completed`."""
    return make_series(f"series-{next(_numbers)}", revision, before, events or (fake_event(),))


def deliver_all(receiver: Receiver, seconds: float = DEADLINE) -> list[str]:
    """Wait until all that was stored is delivered, and all studies and series are complete and delivered, too.

    The clock of the receiver is turned on meanwhile, so neither `--study-timeout` nor the pauses between attempts take
    time. Returns what was put aside, a line each: queue, id and reason. AssertionError with the log if something still
    waits after `seconds`: it fails again and again, or its hook does not return.
    """
    until(lambda: _all_delivered(receiver), "all is delivered", seconds, lambda: receiver.log)
    store = open_store(receiver.state_directory)
    try:
        return [f"{each.queue}: {each.id}: {each.reason}" for each in store.all_put_aside()]
    finally:
        store.close()


def _all_delivered(receiver: Receiver) -> bool:
    store = open_store(receiver.state_directory)
    try:
        if any(_has_records(path, store.files()) for path in (receiver.state_directory / DIRECTORY).glob(f"*{SUFFIX}")):
            return False
        if not store.quiet(_LATE) and not any(state.waiting for state in store.states() if state.claimed):
            return True
    finally:
        store.close()
    receiver.turn_clock(_TURN)
    return False


def _has_records(path: Path, known: dict[str, FileState]) -> bool:
    """Whether a file of the journal has records that were not read yet."""
    start = known.get(path.name, FileState()).position
    try:
        data = path.read_bytes()[start:]
    except FileNotFoundError:
        return False
    return any(
        read.record is not None and read.record.kind is not Kind.ASSOCIATION_ENDED for read in read_records(data)
    )
