"""Senders that continue if their receiver fails, and record what was acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dcmrecv_core.testing import until
from support.data.datasets import identification, pixel_data
from support.data.stored_files import stored_file
from support.promises.ways_to_disk import CONTEXTS
from support.protocol.raw_sender import RawAssociation
from support.uids import CT


def instance(sender: int, number: int) -> tuple[str, bytes]:
    """UID and data of the `number`th instance of a sender: one in sixteen is too large for memory."""
    uid = f"1.2.3.{sender}.{number}"
    size = 5 << 18 if number % 16 == 15 else 256 * (number % 50 + 1)
    return uid, identification(CT, uid) + pixel_data(size)


class Sender(threading.Thread):
    """Stores one instance after the other, on a new association whenever the last one breaks, until it is to stop."""

    def __init__(self, number: int, port: int, again: tuple[int, ...] = ()) -> None:
        super().__init__(daemon=True)
        self.again = again
        """Of each four instances, those that are sent twice."""
        self.number = number
        self.sent: list[str] = []
        self.acknowledged: list[str] = []
        self.local_port = 0
        self.wrong: list[str] = []
        self._port = port
        self._is_over = threading.Event()

    def run(self) -> None:
        while not self._is_over.is_set():
            # an association may end: only the results of instances are recorded
            with suppress(OSError, AssertionError), RawAssociation(self._port, CONTEXTS) as association:
                self.local_port = association.local_port
                while self._store(association):
                    if self._is_over.is_set():
                        association.release()
                        break
            self._is_over.wait(0.01)  # give the receiver some time to come back

    def _store(self, association: RawAssociation) -> bool:
        number = len(self.sent)
        uid, data = instance(self.number, number)
        self.sent.append(uid)
        status = association.store(CT, uid, data)
        if status == 0 and number % 4 in self.again:
            status = association.store(CT, uid, data)
        if status == 0:
            self.acknowledged.append(uid)
        elif status is not None:
            self.wrong.append(f"{uid}: {status:04X}")
        return status == 0

    def stop(self) -> None:
        self._is_over.set()
        self.join(20)
        assert not self.is_alive()


def is_complete(path: Path) -> bool:
    """Whether it holds the instance of its name to the end."""
    sender, number = map(int, path.name.split(".")[-2:])
    with suppress(FileNotFoundError):
        return path.read_bytes().endswith(instance(sender, number)[1])
    return False


@contextmanager
def sending(port: int, often: int, *, first: int = 0, again: tuple[int, ...] = ()) -> Iterator[list[Sender]]:
    """So many senders during the body, each of which has stored something before; numbered from `first` on."""
    senders = [Sender(first + number, port, again) for number in range(often)]
    for sender in senders:
        sender.start()
    try:
        until(lambda: all(sender.acknowledged for sender in senders), "everybody stores")
        yield senders
    finally:
        for sender in senders:
            sender.stop()


def check(senders: list[Sender], output: Path) -> tuple[int, int]:
    """Check that acknowledged instances are there and all files complete; how many were acknowledged, how many not."""
    names = {path.name for path in output.iterdir() if not path.name.startswith(".")}
    sent = {f"CT.{uid}": (sender.number, number) for sender in senders for number, uid in enumerate(sender.sent)}
    acknowledged = {f"CT.{uid}" for sender in senders for uid in sender.acknowledged}
    assert [text for sender in senders for text in sender.wrong] == []
    assert acknowledged - names == set(), "acknowledged, but missing"
    assert names - sent.keys() == set(), "it was not sent"
    for name in names:
        assert stored_file(output / name).data == instance(*sent[name])[1], f"{name} is incomplete"
    return len(acknowledged), len(sent) - len(acknowledged)
