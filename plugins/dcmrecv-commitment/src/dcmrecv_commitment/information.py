"""What an N-EVENT-REPORT says (PS3.4 section J.3.3), and what its answer means."""

from __future__ import annotations

import logging

from pydicom.dataset import Dataset

from dcmrecv_commitment.evaluation import Verdict
from dcmrecv_commitment.requests import Asked, Reference

log = logging.getLogger("dcmrecv.commitment")

SUCCESSFUL, FAILURES_EXIST = 1, 2
"""Event Type IDs (PS3.4 table J.3-2)."""

TRY_AGAIN = (0x0110, 0x0213)
"""Processing failure, resource limitation: not so much about this report."""


def event_type(verdict: Verdict) -> int:
    return FAILURES_EXIST if verdict.failed else SUCCESSFUL


def information(asked: Asked, verdict: Verdict) -> Dataset:
    """The data set."""
    dataset = Dataset()
    dataset.TransactionUID = asked.transaction_uid
    if verdict.failed:
        items = []
        for reference, reason in verdict.failed:
            item = _item(reference)
            item.FailureReason = reason
            items.append(item)
        dataset.FailedSOPSequence = items
    if verdict.committed:
        dataset.ReferencedSOPSequence = [_item(reference) for reference in verdict.committed]
    return dataset


def log_answer(asked: Asked, verdict: Verdict, status: int) -> None:
    """The peer has answered the report."""
    log.log(
        logging.WARNING if status or verdict.failed else logging.INFO,
        "storage commitment for %s, transaction %s: %d instances committed, %d failed; answered with status %04X",
        asked.title,
        asked.transaction_uid,
        len(verdict.committed),
        len(verdict.failed),
        status,
    )


def _item(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    return item
