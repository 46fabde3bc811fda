"""Hosts that send through a balancer, each with an address of its own, and try again."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from support.cluster.instances import Instance
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

CONTEXTS = [(CT, [EXPLICIT_LE])]

PATIENCE = 60.0
"""Seconds that a host waits for an answer."""


class Host(threading.Thread):
    """Stores its instances in associations of at most `each`, and one again until it is acknowledged."""

    def __init__(self, port: int, address: str, instances: Iterable[Instance], each: int = 10) -> None:
        super().__init__(daemon=True)
        self.address = address
        self.acknowledged: list[Instance] = []
        self.tries: Counter[str] = Counter()
        """How often each SOP Instance UID was sent."""
        self.failed: list[str] = []
        """Why associations did not end as they should."""
        self.over = threading.Event()
        self._port = port
        self._each = each
        self._waiting = list(reversed(list(instances)))

    def run(self) -> None:
        while self._waiting and not self.over.is_set():
            try:
                self._associate()
            except (OSError, AssertionError) as error:
                self.failed.append(repr(error))
                self.over.wait(0.1)  # as senders do

    def _associate(self) -> None:
        with RawAssociation(self._port, CONTEXTS, timeout=PATIENCE, source=self.address) as association:
            for _ in range(min(self._each, len(self._waiting))):
                self._store(association)
            association.release()

    def _store(self, association: RawAssociation) -> None:
        instance = self._waiting[-1]
        self.tries[instance.uid] += 1
        status = association.store(CT, instance.uid, instance.data)
        if status != 0:
            text = "the association ended" if status is None else f"status {status:04X}"
            raise ConnectionError(f"{instance.uid}: {text}")
        self.acknowledged.append(self._waiting.pop())


def hosts(port: int, instances: Sequence[Instance], count: int, each: int = 10) -> list[Host]:
    """So many hosts that share these instances; those of a study come from several of them."""
    return [Host(port, f"127.0.0.{11 + number}", instances[number::count], each) for number in range(count)]


@contextmanager
def sending(senders: Sequence[Host]) -> Iterator[None]:
    """They send during the body; afterwards they have sent all, or, if the body has failed, stopped."""
    for sender in senders:
        sender.start()
    try:
        yield
    except BaseException:
        for sender in senders:
            sender.over.set()
        raise
    finally:
        for sender in senders:
            sender.join()


def acknowledged(senders: Iterable[Host]) -> dict[Instance, str]:
    """The address that each acknowledged instance came from."""
    return {instance: sender.address for sender in senders for instance in sender.acknowledged}
