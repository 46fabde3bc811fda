"""What is counted of an association, apart from the instances that are stored: `CounterSlot` counts these itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dcmrecv_core.counters.refusals import Reason, Refusal
from dcmrecv_core.counters.slot import REFUSED, REJECTED, CounterSlot
from dcmrecv_core.net.worker.message_dumps import status_name
from dcmrecv_core.proto.dimse import CommandField

if TYPE_CHECKING:
    from dcmrecv_core.logs.serving import Serving
    from dcmrecv_core.proto.events import CommandRefused
    from dcmrecv_core.proto.pdu import Rejection
    from dcmrecv_core.receive.pipeline import Outcome


def count_failed_handshake(slot: CounterSlot, address: str, text: str) -> None:
    """A TLS handshake has failed: no association was rejected, but its sender wonders why."""
    count_refusal(slot, Reason("association", "TLS", "handshake failed"), ("", "", address), text)


def count_refusal(slot: CounterSlot, reason: Reason, names: tuple[str, str, str], text: str) -> None:
    """Something of a peer, by its titles and address, is refused; `text` says all about it."""
    slot.refusal_counts.add(reason)
    slot.refusals.add(Refusal(time.time(), 1, reason.kind, reason.status, *names, text))


class RefusalCounting:
    """Counts what a worker refuses; `serving` knows of whom."""

    def __init__(self, slot: CounterSlot, serving: Serving) -> None:
        self._slot = slot
        self._serving = serving

    def association(self, rejection: Rejection, why: str, detail: str) -> None:
        """An association is rejected; `why` is one of a few texts."""
        self._slot.count(REJECTED)
        self._count(Reason("association", "/".join(map(str, rejection)), why), detail)

    def instance(self, outcome: Outcome) -> None:
        """An instance is refused, and counted already."""
        self._instance(outcome.status, outcome.by, outcome.comment)

    def command(self, event: CommandRefused) -> bool:
        """`proto/` has refused a command; returns whether it was a C-STORE."""
        is_store = event.command.field == CommandField.C_STORE_RQ
        if is_store:
            self._slot.count(REFUSED)
            self._instance(event.status, "", event.comment)
        return is_store

    def _instance(self, status: int, by: str, comment: str) -> None:
        short = f"plugin {by}" if by else status_name(status)
        text = f"plugin {by}: {comment}" if by and by not in comment else comment
        self._count(Reason("instance", f"{status:04X}", short), text)

    def _count(self, reason: Reason, text: str) -> None:
        count_refusal(self._slot, reason, self._serving.names, text)
