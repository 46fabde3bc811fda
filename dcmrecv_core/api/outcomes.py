"""What notification hooks are told: what became of an instance, how an association ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from dcmrecv_core.api.verdicts import OnExists

HowStored = Literal["new", "replaced", "kept"]
"""Under a name that was free; in the place of another content; not written, because the same content is there."""


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
