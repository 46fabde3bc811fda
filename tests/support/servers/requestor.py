"""A requestor of storage commitment, by pynetdicom."""

from __future__ import annotations

import queue
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.transport import ThreadedAssociationServer

from dcmrecv_core.testing import until

SECONDS = 60.0
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
INSTANCE = "1.2.840.10008.1.20.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"

Pair = tuple[str, str]
"""SOP class and instance."""


def asking_for(transaction_uid: str | None, *uids: str | Pair) -> Dataset:
    """The data set of an N-ACTION for CT images, or for pairs of class and instance."""
    dataset = Dataset()
    if transaction_uid is not None:
        dataset.TransactionUID = transaction_uid
    items = []
    for each in uids:
        sop_class, uid = (CT, each) if isinstance(each, str) else each
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class
        item.ReferencedSOPInstanceUID = uid
        items.append(item)
    dataset.ReferencedSOPSequence = items
    return dataset


def request_and_wait(port: int, dataset: Dataset, status: int | None = 0) -> Report:
    """Send an N-ACTION, and wait on its association for the report, which is answered with `status`; with None the
    association is aborted instead."""
    told: queue.Queue[Report] = queue.Queue()
    answered = threading.Event()

    def reported(event: Any) -> tuple[int, None]:
        told.put(_report_of(event))
        if status is None:
            answered.wait(SECONDS)
            event.assoc.abort()
        return status or 0, None

    entity = AE(ae_title="CT1")
    entity.add_requested_context(STORAGE_COMMITMENT, ExplicitVRLittleEndian)
    handlers: Any = [(evt.EVT_N_EVENT_REPORT, reported)]
    association = entity.associate("127.0.0.1", port, ae_title="ARCHIVE", evt_handlers=handlers)
    assert association.is_established
    answer, _ = association.send_n_action(dataset, 1, STORAGE_COMMITMENT, INSTANCE)
    answered.set()
    assert answer.Status == 0
    report = told.get(timeout=SECONDS)
    if status is not None:
        association.release()
    return report


def request(
    port: int,
    dataset: Dataset | None,
    *,
    title: str = "CT1",
    called: str = "ARCHIVE",
    action: int = 1,
    instance: str = INSTANCE,
    syntax: UID = ExplicitVRLittleEndian,
) -> Dataset:
    """Send an N-ACTION; its response."""
    entity = AE(ae_title=title)
    entity.add_requested_context(STORAGE_COMMITMENT, syntax)
    association = entity.associate("127.0.0.1", port, ae_title=called)
    assert association.is_established
    try:
        status, _ = association.send_n_action(dataset, action, STORAGE_COMMITMENT, instance)
        return status
    finally:
        association.release()


@dataclass(frozen=True)
class Report:
    """What an N-EVENT-REPORT says; `calling` and `called` are the titles of its association."""

    event_type: int
    transaction_uid: str
    committed: list[Pair]
    failed: dict[Pair, int]
    calling: str
    called: str


def _pairs(items: Sequence[Dataset]) -> list[Pair]:
    return [(str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID)) for item in items]


def _report_of(event: Any) -> Report:
    told = event.event_information
    failed = told.get("FailedSOPSequence") or []
    reasons = [int(item.FailureReason) for item in failed]
    return Report(
        event.event_type,
        str(told.TransactionUID),
        _pairs(told.get("ReferencedSOPSequence") or []),
        dict(zip(_pairs(failed), reasons, strict=True)),
        event.assoc.requestor.ae_title,
        event.assoc.acceptor.primitive.called_ae_title,
    )


class Requestor:
    """Listens for reports, by pynetdicom; answers with the next of `statuses`, then with 0000. If it does not take the
    proposed role, it leaves it unanswered."""

    def __init__(self, port: int = 0, *, takes_role: bool = True, tls: ssl.SSLContext | None = None) -> None:
        self.reports: queue.Queue[Report] = queue.Queue()
        self.statuses: list[int] = []
        entity = AE(ae_title="CT1")
        syntaxes = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
        roles: dict[str, Any] = {"scu_role": False, "scp_role": True} if takes_role else {}
        entity.add_supported_context(STORAGE_COMMITMENT, syntaxes, **roles)
        self._entity = entity
        self._server = entity.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._reported)], ssl_context=tls
        )
        assert isinstance(self._server, ThreadedAssociationServer)
        self.port = int(self._server.server_address[1])

    def _reported(self, event: Any) -> tuple[int, None]:
        self.reports.put(_report_of(event))
        return (self.statuses.pop(0) if self.statuses else 0), None

    def report(self) -> Report:
        """The next one."""
        return self.reports.get(timeout=SECONDS)

    def end(self) -> None:
        """Associations may end first: pynetdicom fails in one that is cut off between a report and its answer."""
        with suppress(AssertionError):
            until(lambda: not self._entity.active_associations, "associations with reports have ended", 5)
        self._entity.shutdown()
