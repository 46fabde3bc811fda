"""Shared memory in which a worker says what it is doing, for the log line about its end when it is killed.

Only the worker writes; the supervisor reads before it kills a worker and after it has ended. An instance costs two
writes and no system call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from struct import Struct

from dcmrecv_core.logs.hashed_uids import UIDS

_AE_TITLE = Struct("16s")
_UID = Struct("64s")  # a longer one is cut
_ADDRESS = Struct("46s")  # the longest address as text (INET6_ADDRSTRLEN)
_UID_OFFSET = _AE_TITLE.size
_ADDRESS_OFFSET = _UID_OFFSET + _UID.size
SIZE = _ADDRESS_OFFSET + _ADDRESS.size


class UnderWay:
    """The part of a worker's slot that names its peer and its instance."""

    __slots__ = ("_view", "begin_instance", "uid")

    def __init__(self, view: memoryview | None = None) -> None:
        self._view = view if view is not None else memoryview(bytearray(SIZE))
        self.uid = self._view[_UID_OFFSET:_ADDRESS_OFFSET]
        """The caller sets its first byte to 0 when the instance is answered or dropped."""
        self.begin_instance: Callable[[bytes], None] = partial(_UID.pack_into, self.uid, 0)
        """A C-STORE has begun; the UID is that of its command. No method: a call of Python code would cost more."""

    def begin_connection(self, address: str) -> None:
        """The worker has taken a connection with a peer of this address."""
        _ADDRESS.pack_into(self._view, _ADDRESS_OFFSET, address.encode())

    def begin_association(self, calling_ae_title: str) -> None:
        """The worker has read an association request."""
        _AE_TITLE.pack_into(self._view, 0, calling_ae_title.encode())

    def clear(self) -> None:
        """The connection has ended."""
        self._view[0] = self.uid[0] = self._view[_ADDRESS_OFFSET] = 0

    def describe(self) -> str:
        """` (SENDER@10.0.0.1, SOP instance 1.2.3)` as far as it is known; "" without a connection."""
        address = _text(self._view[_ADDRESS_OFFSET:SIZE])
        if not address:
            return ""
        title, uid = _text(self._view[:_UID_OFFSET]), _text(self.uid)
        peer = f"{title}@{address}" if title else address
        return f" ({peer}, SOP instance {UIDS.shown(uid)})" if uid else f" ({peer})"


def _text(view: memoryview) -> str:
    return bytes(view).partition(b"\0")[0].decode(errors="replace")
