"""What hooks are told of what has happened: to an instance, an association, a study.

`StoredEvent`, and the `Study` and `Series` made of them, come from the journal, in a process that has not received the
instance. A plugin's hook may be called with one more than once: `id` is the same each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import BinaryIO, Literal

from dcmrecv_core.api.settings import Locations
from dcmrecv_core.api.verdicts import OnExists

HowStored = Literal["new", "replaced", "kept"]
"""Under a name that was free; in the place of another content; not written, because the same content is there."""

DEFAULT_TARGET = "default"
"""The target of a plugin that has no hook `delivery_targets`."""


class Ended(Enum):
    """How an association ended, seen from the receiver."""

    RELEASED = "released"
    ABORTED = "aborted"
    """By the peer."""
    CLOSED = "closed"
    """The connection went away."""
    REJECTED = "rejected"
    FAILED = "failed"
    """The receiver aborted it."""
    STOPPED = "stopped"
    """The receiver was told to end."""
    LOST = "lost"
    """Its worker ended: killed, or crashed in plugin code."""


@dataclass(frozen=True, slots=True)
class StoredOutcome:
    """What `stored` is told: the DIMSE `status` that is answered (0000 or Bxxx) with its `comment`, how the instance
    was stored, and by which policy for taken names; None if a plugin's writer put it elsewhere."""

    status: int
    comment: str = ""
    how: HowStored = "new"
    policy: OnExists | None = None


@dataclass(frozen=True, slots=True)
class NotStoredOutcome:
    """What `not_stored` is told: the DIMSE `status` that is answered, why, and who decided.

    A failure status: refused, and `comment` is the Error Comment. 0: discarded on purpose, and `comment` is the reason.
    `by` is the plugin whose hook refused, discarded or failed, or "dcmrecv". When `--on-duplicate keep` keeps another
    content of the same instance, this one is discarded by dcmrecv, with the status of an instance that is stored.
    """

    status: int
    comment: str = ""
    by: str = "dcmrecv"


@dataclass(frozen=True, slots=True)
class Summary:
    """What an association did: counts of instances, bytes of their data sets, seconds that it took, how it ended.

    For one that was lost with its worker the counts are what was known last.
    """

    stored: int
    refused: int
    discarded: int
    bytes: int
    seconds: float
    ended: Ended


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """One instance that was stored and acknowledged (status 0000 or Bxxx).

    `recovered`: a power cut has taken the record of it, and it was made again from the file; what only the association
    knew is None then: titles, address, association and time. Texts are "" where the data set has no value.
    """

    id: str
    """The same each time this event is delivered, and to each target."""
    location: str
    """Where it is, as `stored` is told it: a path below the output directory, or what a plugin's `write` returned."""
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    patient_id: str = ""
    modality: str = ""
    how: HowStored = "new"
    size: int = 0
    """Of the data set in bytes, File Meta Information not counted."""
    received_at: datetime | None = None
    """When the data set was complete, in UTC."""
    calling_ae_title: str | None = None
    called_ae_title: str | None = None
    peer_address: str | None = None
    association_id: str | None = None
    recovered: bool = False
    digest: str | None = None
    """Of the bytes of the data set as they are in the file, `xxh128:` and hexadecimal digits: see `--digest`. None if
    none was asked for, and of an instance that was recovered."""
    original_uid_hash: str | None = None
    """If a plugin has given the instance another SOP Instance UID: an HMAC-SHA-256 of the one in the command, in
    hexadecimal digits, under a key in the state directory. None if the UID is the one that was sent."""
    _locations: Locations | None = field(default=None, compare=False, repr=False)

    def open(self) -> BinaryIO:
        """Open the complete DICOM file for reading; close it.

        Raises OSError if it cannot be read, FileNotFoundError if it is gone; LookupError if no plugin knows the
        location.
        """
        if self._locations is None:
            raise LookupError(f"no plugin can open {self.location}")
        return self._locations.open_location(self.location)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study of which no instance has come for `--study-timeout` seconds.

    If more instances of it come later, it is complete again, with the next `revision`.
    """

    id: str
    """Of this study in this revision: the same each time the hook is called for it."""
    study_instance_uid: str
    patient_id: str
    """Of its first instance, "" if that has none."""
    revision: int
    """1, 2 ..."""
    instances: Sequence[StoredEvent]
    """All of them, in the order in which they were stored first: of each SOP instance the latest event."""
    new: Sequence[StoredEvent]
    """Those that came since the revision before; in revision 1 all."""
    senders: tuple[str, ...] = ()
    """Calling AE titles, each once, in the order in which they came."""
    first_received_at: datetime | None = None
    last_received_at: datetime | None = None
    """When its first and last instance came, in UTC; None if that is not known of any (`StoredEvent.recovered`)."""
    directory: str | None = None
    """The innermost directory that has all its files; None if not all are files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A series of which no instance has come for `--study-timeout` seconds. As `Study`."""

    id: str
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    """Of its first instance, "" if that has none."""
    patient_id: str
    revision: int
    instances: Sequence[StoredEvent]
    new: Sequence[StoredEvent]
    senders: tuple[str, ...] = ()
    first_received_at: datetime | None = None
    last_received_at: datetime | None = None
    directory: str | None = None
