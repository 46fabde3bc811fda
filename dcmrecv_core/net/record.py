"""Shared memory in which a worker keeps its association, so that another one can tell of it if this one is killed.

The worker writes when the association begins, counts at each tick, and closes the record before it calls
`association_ended` itself: so the hook is called at most once. The supervisor only copies bytes. Nothing of this makes
a system call, and without a plugin that has the hook there is no memory for it.
"""

from __future__ import annotations

import json
import mmap
from struct import Struct
from typing import Any

from dcmrecv_core.api.model import Association, ProposedContext, UserIdentity
from dcmrecv_core.api.outcomes import Ended, Summary

SIZE = 64 << 10
"""Bytes of a record; an association that needs more is told of without its proposed contexts. 128 contexts with five
transfer syntaxes each have 25 KB."""

_HEAD = Struct("=?3xI")  # open, length of the text
_COUNTS = Struct("=IIIQd")  # stored, refused, discarded, bytes; seconds, in the record the time of its beginning
_COUNTS_OFFSET = _HEAD.size
_TEXT_OFFSET = _COUNTS_OFFSET + _COUNTS.size
_PLAIN = (
    "calling_ae_title",
    "called_ae_title",
    "peer_address",
    "peer_port",
    "id",
    "tls",
    "implementation_class_uid",
    "implementation_version_name",
)


class AssociationRecord:
    """A slot of a `RecordBoard`; one without memory does nothing."""

    __slots__ = ("_view",)

    def __init__(self, view: memoryview | None = None) -> None:
        self._view = view

    def open(self, association: Association, started: float) -> None:
        """The worker serves `association` since `started` (monotonic seconds)."""
        view = self._view
        if view is None:
            return
        text = _encode(association, association.proposed)
        if len(text) > len(view) - _TEXT_OFFSET:
            text = _encode(association, ())
        if len(text) > len(view) - _TEXT_OFFSET:
            return  # an identity of tens of kilobytes
        view[_TEXT_OFFSET : _TEXT_OFFSET + len(text)] = text
        _COUNTS.pack_into(view, _COUNTS_OFFSET, 0, 0, 0, 0, started)
        _HEAD.pack_into(view, 0, True, len(text))  # last: the worker may be killed before

    def count(self, stored: int, refused: int, discarded: int, size: int) -> None:
        """How far the association is; called now and then."""
        if self._view is not None:
            started = _COUNTS.unpack_from(self._view, _COUNTS_OFFSET)[4]
            _COUNTS.pack_into(self._view, _COUNTS_OFFSET, stored, refused, discarded, size, started)

    def close(self) -> None:
        """The worker tells the plugins itself."""
        if self._view is not None:
            self._view[0] = False

    def take(self, now: float) -> bytes | None:
        """In the supervisor, after the worker has ended: the association that was lost with it, for `decode`."""
        if self._view is None or not self._view[0]:
            return None
        self._view[0] = False
        length = _HEAD.unpack_from(self._view)[1]
        *counts, started = _COUNTS.unpack_from(self._view, _COUNTS_OFFSET)
        return _COUNTS.pack(*counts, now - started) + self._view[_TEXT_OFFSET : _TEXT_OFFSET + length]


class RecordBoard:
    """Anonymous shared memory with `count` records; made before the first fork."""

    def __init__(self, count: int) -> None:
        self._memory = memoryview(mmap.mmap(-1, count * SIZE))

    def record(self, number: int) -> AssociationRecord:
        """The record of slot `number`, closed."""
        record = AssociationRecord(self._memory[number * SIZE : (number + 1) * SIZE])
        record.close()
        return record


def decode(data: bytes) -> tuple[Association, Summary]:
    """What `AssociationRecord.take` returned, for the hook; `state` is empty, for it was the worker's."""
    fields = json.loads(data[_COUNTS.size :])
    proposed = tuple(
        ProposedContext(
            number,
            abstract,
            tuple(syntaxes),
            None if role is None else (role[0], role[1]),
            None if extended is None else bytes.fromhex(extended),
        )
        for number, abstract, syntaxes, role, extended in fields.pop("proposed")
    )
    identity = fields.pop("identity")
    if identity is not None:
        kind, asks, primary, secondary = identity
        identity = UserIdentity(kind, asks, bytes.fromhex(primary), bytes.fromhex(secondary))
    association = Association(proposed=proposed, user_identity=identity, **fields)
    stored, refused, discarded, size, seconds = _COUNTS.unpack_from(data)
    return association, Summary(stored, refused, discarded, size, seconds, Ended.LOST)


def _encode(association: Association, proposed: tuple[ProposedContext, ...]) -> bytes:
    fields: dict[str, Any] = {name: getattr(association, name) for name in _PLAIN}
    fields["proposed"] = [
        (each.context_id, each.abstract_syntax, each.transfer_syntaxes, each.role, _hex(each.extended))
        for each in proposed
    ]
    identity = association.user_identity
    fields["identity"] = identity and (
        identity.kind,
        identity.response_requested,
        identity.primary.hex(),
        identity.secondary.hex(),
    )
    return json.dumps(fields).encode()


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()
