"""Keeps the claims of a process while its hook runs, in a thread with a connection of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from dcmrecv_core.delivery.store import StoreError
from dcmrecv_core.storage.journals.database import LEASE_SECONDS

log = logging.getLogger("dcmrecv.delivery")

LEASE = LEASE_SECONDS * 10**9
"""Nanoseconds. With the look at the queues every quarter of a second, work of a node that has died is taken over within
30 s."""

RENEWED_AFTER = 10.0
AGAIN_AFTER = 1.0
"""Seconds between two renewals, and after one that failed."""


@contextmanager
def renewing(renew: Callable[[], None]) -> Iterator[None]:
    """Call `renew` in a thread again and again, until the end of the block."""
    ended = Event()
    thread = Thread(target=_renew, args=(renew, ended), name="leases", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(AGAIN_AFTER)


def _renew(renew: Callable[[], None], ended: Event) -> None:
    pause = RENEWED_AFTER
    while not ended.wait(pause):
        try:
            renew()
            pause = RENEWED_AFTER
        except StoreError as error:
            log.warning("leases of deliveries cannot be renewed, others may take them over: %s", error)
            pause = AGAIN_AFTER
