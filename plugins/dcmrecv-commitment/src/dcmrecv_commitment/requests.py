"""What a requestor asks for by N-ACTION (PS3.4 section J.3.2), checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from dcmrecv_core import Association, Request, Service, StatusError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class."""

INSTANCE = "1.2.840.10008.1.20.1.1"
"""Its well-known SOP instance."""

MOST_REFERENCES = 20_000
"""Of one request: the largest studies have some ten thousand instances, and these take seconds to decode."""

_REQUEST_STORAGE_COMMITMENT = 1
"""The only Action Type ID."""

_UNRECOGNIZED_OPERATION, _NO_SUCH_ACTION, _NO_SUCH_INSTANCE, _INVALID_ARGUMENT, _RESOURCE_LIMITATION = (
    *(0x0211, 0x0123, 0x0112, 0x0115),
    0x0213,
)
"""PS3.7 section 10.1.4.1.10 and annex C."""

_TRANSACTION_UID, _REFERENCED_SOP_SEQUENCE = 0x00081195, 0x00081199
_SOP_CLASS_UID, _SOP_INSTANCE_UID = 0x00081150, 0x00081155
_UID = re.compile(r"[0-9.]{1,64}")


class Reference(NamedTuple):
    """An instance that is asked for."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class Asked:
    """A request: who asks, whom it called, and for what."""

    title: str
    called: str
    transaction_uid: str
    references: tuple[Reference, ...]


def request_of(association: Association, request: Request) -> Asked:
    """Raises StatusError with the status for the N-ACTION."""
    command = request.command
    if command.service is not Service.N_ACTION:
        raise StatusError(_UNRECOGNIZED_OPERATION, "Storage commitment is requested by N-ACTION")
    if command.sop_instance_uid != INSTANCE:
        raise StatusError(_NO_SUCH_INSTANCE, "Not the well-known instance of storage commitment")
    if command.action_type_id != _REQUEST_STORAGE_COMMITMENT:
        raise StatusError(_NO_SUCH_ACTION, "Storage commitment has the Action Type ID 1 only")
    dataset = request.dataset
    if dataset is None:
        raise StatusError(_INVALID_ARGUMENT, "The request has no data set")
    transaction = _uid(dataset, _TRANSACTION_UID, "Transaction UID")
    return Asked(association.calling_ae_title, association.called_ae_title, transaction, _references(dataset))


def _references(dataset: Dataset) -> tuple[Reference, ...]:
    items = _value(dataset, _REFERENCED_SOP_SEQUENCE)
    if not items or isinstance(items, str | bytes | int | float):
        raise StatusError(_INVALID_ARGUMENT, "Referenced SOP Sequence is missing or empty", (_REFERENCED_SOP_SEQUENCE,))
    if len(items) > MOST_REFERENCES:
        raise StatusError(_RESOURCE_LIMITATION, f"More than {MOST_REFERENCES} instances in one request")
    return tuple(
        Reference(
            _uid(item, _SOP_CLASS_UID, "Referenced SOP Class UID"),
            _uid(item, _SOP_INSTANCE_UID, "Referenced SOP Instance UID"),
        )
        for item in items
    )


def _uid(dataset: Any, tag: int, name: str) -> str:
    value = _value(dataset, tag)
    text = str(value or "").strip(" \0")
    if not _UID.fullmatch(text):
        raise StatusError(_INVALID_ARGUMENT, f"{name} is {'no UID' if text else 'missing'}", (tag,))
    return text


def _value(dataset: Any, tag: int) -> Any:
    try:
        return dataset[tag].value if tag in dataset else None
    except Exception as error:  # pydicom lets any exception through
        raise StatusError(_INVALID_ARGUMENT, "Cannot understand the data set", (tag,)) from error
