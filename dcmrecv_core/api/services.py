"""DIMSE-N services that a plugin offers beside storage (PS3.7 section 10): the request, and the response to it."""

from __future__ import annotations

import operator
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


_UID = re.compile(r"[0-9.]{1,64}")


class Service(Enum):
    """The Command Field (0000,0100) of a request (PS3.7 annex E)."""

    N_EVENT_REPORT = 0x0100
    N_GET = 0x0110
    N_SET = 0x0120
    N_ACTION = 0x0130
    N_CREATE = 0x0140
    N_DELETE = 0x0150


@dataclass(frozen=True, slots=True)
class Command:
    """The command set of a DIMSE-N request. UIDs are "" where it has none: the Requested SOP Class and Instance UID, of
    N-EVENT-REPORT and N-CREATE the Affected ones."""

    service: Service
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str = ""
    event_type_id: int | None = None
    """Of N-EVENT-REPORT."""
    action_type_id: int | None = None
    """Of N-ACTION."""
    attributes: tuple[int, ...] = ()
    """The tags that N-GET asks for; none means all."""


class Request(ABC):
    """A DIMSE-N request on an accepted presentation context, as `serve` sees it."""

    command: Command
    transfer_syntax_uid: str

    @property
    @abstractmethod
    def dataset(self) -> Dataset | None:
        """The data set, decoded on first use; None if the request has none. Raises StatusError if it cannot be
        understood."""


@dataclass(frozen=True, slots=True)
class EventReport:
    """An N-EVENT-REPORT (PS3.7 section 10.1.1), sent after a response on the same association and context.

    `answered` is called with the status of the peer's response; never if the association ends before. It may raise
    nothing. Raises TypeError or ValueError for what no request can carry.
    """

    event_type_id: int
    sop_class_uid: str
    sop_instance_uid: str
    dataset: Dataset | None = None
    answered: Callable[[int], None] | None = None

    def __post_init__(self) -> None:
        if not 0 <= operator.index(self.event_type_id) <= 0xFFFF:
            raise ValueError(f"an event type has 16 bits, not {self.event_type_id!r}")
        for uid in (self.sop_class_uid, self.sop_instance_uid):
            if not (isinstance(uid, str) and _UID.fullmatch(uid)):
                raise ValueError(f"a UID of at most 64 characters expected, not {uid!r}")
        _check_dataset(self.dataset)


@dataclass(frozen=True, slots=True)
class Response:
    """Result of `serve`: the DIMSE `status`, and what the service's response has beside it (PS3.7 section 10.1).

    `dataset` is sent in the transfer syntax of the context. What is None is left out, or taken from the request where
    the standard wants it in each response. `report` is sent after the response. Raises TypeError or ValueError for what
    no response can carry.
    """

    status: int
    dataset: Dataset | None = None
    comment: str = ""
    affected_sop_instance_uid: str | None = None
    event_type_id: int | None = None
    action_type_id: int | None = None
    report: EventReport | None = None

    def __post_init__(self) -> None:
        # raised here, where the plugin made the mistake, not when the response is encoded
        for number in (self.status, self.event_type_id, self.action_type_id):
            if number is not None and not 0 <= operator.index(number) <= 0xFFFF:
                raise ValueError(f"a status or type has 16 bits, not {number!r}")
        if self.status is None or not isinstance(self.comment, str):
            raise TypeError(f"a status and a comment expected, not {self.status!r}, {self.comment!r}")
        uid = self.affected_sop_instance_uid
        if uid is not None and not (isinstance(uid, str) and _UID.fullmatch(uid)):
            raise ValueError(f"a UID of at most 64 characters expected, not {uid!r}")
        if self.report is not None and not isinstance(self.report, EventReport):
            raise TypeError(f"an EventReport or None expected, not {self.report!r}")
        _check_dataset(self.dataset)


def _check_dataset(dataset: object) -> None:
    if dataset is not None and not hasattr(dataset, "to_json_dict"):  # a Dataset, pydicom not loaded here
        raise TypeError(f"a pydicom Dataset or None expected, not {type(dataset).__name__}")
