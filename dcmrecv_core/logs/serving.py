"""What a worker serves, attached to each record that is logged in it: by the receiver, plugins, libraries.

%X{calling}             in a pattern of log4cplus
"calling": "CT1"        with `--log-format json`
%(calling)s             in a format of Python's logging
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from dcmrecv_core.logs.hashed_uids import UIDS
from dcmrecv_core.logs.records import EscapedLogRecord, escape_controls

FIELDS: Final = ("peer", "calling", "called", "association", "instance")
"""Address, AE titles, the association's `id` as hooks see it, the SOP Instance UID that is under way."""

EXTRA: Final = "dcmrecv_served"
"""Where a process that serves nothing, as the supervisor, names a peer: `log.warning(..., extra={EXTRA: {...}})`."""


class ServedRecord(EscapedLogRecord):
    """A record that knows what was served when it was made.

    In a slot, because a plugin may log with `extra={"association": ...}`, and Python's logging raises an exception
    for a name that the record has in its `__dict__` already.
    """

    __slots__ = ("served",)

    served: tuple[str, ...]
    """The values of FIELDS."""


class Serving:
    """What a worker serves at the moment: one association after the other. Each worker has one."""

    def __init__(self) -> None:
        self.begin("")

    def begin(self, peer: str, instance: Callable[[], str] = str) -> None:
        """A connection with the address `peer`; `instance` returns the SOP Instance UID under way, "" if none is."""
        self._peer = peer
        self._instance = instance
        self._calling = self._called = self._association = ""

    def request(self, calling: str, called: str, association: str = "") -> None:
        """The connection's association request is known, and perhaps the association's id."""
        self._calling, self._called, self._association = calling, called, association

    @contextmanager
    def instance(self, sop_instance_uid: str) -> Iterator[None]:
        """Meanwhile this one is under way."""
        before, self._instance = self._instance, lambda: sop_instance_uid
        try:
            yield
        finally:
            self._instance = before

    def end(self) -> None:
        """The connection is closed."""
        self.begin("")

    @property
    def sender(self) -> str:
        """As `sender` says it."""
        return sender(self._calling, self._peer, self._called)

    def attach(self) -> None:
        """From now on all records of this process have what is served."""
        logging.setLogRecordFactory(self._record)

    def _record(self, *arguments: Any, **more: Any) -> logging.LogRecord:
        record = ServedRecord(*arguments, **more)
        instance = self._instance()
        if UIDS.key is not None:
            UIDS.hide(record, instance)
            instance = UIDS.shown(instance)
        record.served = (self._peer, self._calling, self._called, self._association, instance)
        return record


def served_of(record: logging.LogRecord) -> dict[str, str]:
    """The fields that are known, safe to be written."""
    fields = dict(record.__dict__.get(EXTRA, ()))
    fields.update((name, value) for name, value in zip(FIELDS, getattr(record, "served", ()), strict=False) if value)
    return {name: escape_controls(value) for name, value in fields.items()}


class ServedFilter(logging.Filter):
    """Lets a handler's format name the fields: "" where they are not known."""

    def filter(self, record: logging.LogRecord) -> bool:
        served = served_of(record)
        for name in FIELDS:
            record.__dict__.setdefault(name, served.get(name, ""))
        return True


def sender(calling: str, peer: str, called: str) -> str:
    """Who sends what to whom, in all lines about associations and instances: `CT1 (10.0.0.5) to ARCHIVE`."""
    return f"{calling} ({peer}) to {called}" if calling or called else peer
