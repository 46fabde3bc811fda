"""Hosts that send through a balancer, each with an address of its own, and try again."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from support.cluster.instances import Instance, instances
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

CONTEXTS = [(CT, [EXPLICIT_LE])]

HOSTS = 8
IMAGES = 20

PATIENCE = 60.0
"""Seconds that a host waits for an answer."""


class Host(threading.Thread):
    """Stores its instances in associations of at most `each`, with a pause (seconds) after these, and an instance again
    until it is acknowledged."""

    def __init__(
        self, port: int, address: str, instances: Iterable[Instance], each: int = 10, pause: float = 0.0
    ) -> None:
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
        self._pause = pause
        self._instances = iter(instances)

    def run(self) -> None:
        while (part := list(islice(self._instances, self._each))) and not self.over.is_set():
            while part and not self.over.is_set():
                try:
                    self._associate(part)
                except (OSError, AssertionError) as error:
                    self.failed.append(repr(error))
                    self.over.wait(0.1)  # as senders do
                self.over.wait(self._pause)

    def _associate(self, part: list[Instance]) -> None:
        """Store these instances in one association; those that are acknowledged are taken away."""
        with RawAssociation(self._port, CONTEXTS, timeout=PATIENCE, source=self.address) as association:
            while part:
                self._store(association, part[0])
                self.acknowledged.append(part.pop(0))
            association.release()

    def _store(self, association: RawAssociation, instance: Instance) -> None:
        self.tries[instance.uid] += 1
        status = association.store(CT, instance.uid, instance.data)
        if status != 0:
            text = "the association ended" if status is None else f"status {status:04X}"
            raise ConnectionError(f"{instance.uid}: {text}")


def hosts(port: int, test: str, studies: int, each: int = 10, pause: float = 0.0) -> list[Host]:
    """`HOSTS` of them, which share so many studies, `IMAGES` instances each; a study comes from all of them."""
    shares = (islice(instances(test, studies, IMAGES), number, None, HOSTS) for number in range(HOSTS))
    return [Host(port, f"127.0.0.{11 + number}", share, each, pause) for number, share in enumerate(shares)]


@contextmanager
def sending(senders: Sequence[Host]) -> Iterator[None]:
    """They send during the body; afterwards they have sent all, or, if the body has failed, stopped."""
    for sender in senders:
        sender.start()
    try:
        yield
    except BaseException:
        stop(senders)
        raise
    finally:
        for sender in senders:
            sender.join()


def stop(senders: Iterable[Host]) -> None:
    """Each ends after the association that it is in."""
    for sender in senders:
        sender.over.set()


def acknowledged(senders: Iterable[Host]) -> dict[Instance, str]:
    """The address that each acknowledged instance came from."""
    return {instance: sender.address for sender in senders for instance in sender.acknowledged}
