"""The plugin in a receiver: what is there whole is committed to, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from peers import CT, Report, Requestor, asking_for, request

from dcmrecv_core.testing import Receiver, sample_dataset

Start = Callable[..., Receiver]


def stored(receiver: Receiver, *uids: str) -> list[Path]:
    """Send images; their files."""
    assert receiver.send(*[sample_dataset(SOPInstanceUID=uid) for uid in uids]) == [0] * len(uids)
    return [receiver.output / f"CT.{uid}" for uid in uids]


def test_what_is_there_is_committed_to(start: Start, requestor: Requestor) -> None:
    receiver = start(requestor.port)
    stored(receiver, "1.2.3", "1.2.4")
    assert request(receiver.port, asking_for("9.1", "1.2.3", "1.2.4")).Status == 0
    assert requestor.report() == Report(1, "9.1", [(CT, "1.2.3"), (CT, "1.2.4")], {}, "ARCHIVE", "CT1")
    receiver.wait_for_log("storage commitment for CT1, transaction 9.1: 2 instances committed, 0 failed")
    assert list((receiver.state_directory / "commitment").iterdir()) == []
