"""A requestor of storage commitment, by pynetdicom."""

from __future__ import annotations

import queue
from contextlib import suppress
from typing import Any, NamedTuple

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.transport import ThreadedAssociationServer

from dcmrecv_core.testing import until

STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
_INSTANCE = "1.2.840.10008.1.20.1.1"
_CT = "1.2.840.10008.5.1.4.1.1.2"
_DEADLINE = 60.0


class Report(NamedTuple):
    """SOP instances that are committed to, and others with the Failure Reason."""

    committed: set[str]
    failed: dict[str, int]


class Requestor:
    """`CT1`, which listens for reports on `port`."""

    def __init__(self) -> None:
        self._reports: queue.Queue[Report] = queue.Queue()
        self._entity = AE(ae_title="CT1")
        self._entity.add_supported_context(STORAGE_COMMITMENT, ExplicitVRLittleEndian, scu_role=False, scp_role=True)
        server = self._entity.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._reported)]
        )
        assert isinstance(server, ThreadedAssociationServer)
        self.port = int(server.server_address[1])

    def _reported(self, event: Any) -> tuple[int, None]:
        told = event.event_information
        committed = told.get("ReferencedSOPSequence") or []
        failed = told.get("FailedSOPSequence") or []
        self._reports.put(
            Report(
                {str(item.ReferencedSOPInstanceUID) for item in committed},
                {str(item.ReferencedSOPInstanceUID): int(item.FailureReason) for item in failed},
            )
        )
        return 0, None

    def ask(self, port: int, transaction_uid: str, *uids: str) -> Report:
        """Ask a receiver about CT images, and wait for its report."""
        asking = Dataset()
        asking.TransactionUID = transaction_uid
        asking.ReferencedSOPSequence = [Dataset() for _ in uids]
        for item, uid in zip(asking.ReferencedSOPSequence, uids, strict=True):
            item.ReferencedSOPClassUID = _CT
            item.ReferencedSOPInstanceUID = uid
        entity = AE(ae_title="CT1")
        entity.add_requested_context(STORAGE_COMMITMENT, ExplicitVRLittleEndian)
        association = entity.associate("127.0.0.1", port)
        assert association.is_established
        answer, _ = association.send_n_action(asking, 1, STORAGE_COMMITMENT, _INSTANCE)
        association.release()
        assert answer.Status == 0
        return self._reports.get(timeout=_DEADLINE)

    def end(self) -> None:
        """Associations may end first: pynetdicom fails in one that is cut off between a report and its answer."""
        with suppress(AssertionError):
            until(lambda: not self._entity.active_associations, "associations with reports have ended", 5)
        self._entity.shutdown()
