"""Reads whole C-STORE requests from the receive buffer with the compiled part (see `dcmrecv_core.compiled`)."""

from __future__ import annotations

from dcmrecv_core import compiled
from dcmrecv_core.proto import events
from dcmrecv_core.proto.buffer import ReceiveBuffer
from dcmrecv_core.proto.dimse import Command, CommandField, command_text

if compiled.AVAILABLE:
    from dcmrecv_core.proto import regular_requests

Request = tuple[events.StoreRequested, events.DataReceived]


class RequestCollector:
    """Leaves a regular request in `buffer` until it is complete, and then reads it in one step.

    The `MessageReader` reads requests that are not regular, or too long for the buffer.
    """

    __slots__ = ("_buffer", "_max_pdu", "_piecemeal", "_room", "collecting")

    def __init__(self, buffer: ReceiveBuffer, max_pdu: int) -> None:
        self.collecting = False
        """A regular request has begun and is not complete."""
        self._buffer = buffer
        self._max_pdu = max_pdu
        self._room = len(buffer.memory) * 15 // 16  # a request that is collected leaves room to receive into
        self._piecemeal = False

    def read(self, contexts: dict[int, tuple[str, str]]) -> Request | None:
        """The next request, if it is complete and regular; `contexts` are the accepted ones."""
        self.collecting = False
        if self._piecemeal:
            self._piecemeal = False
            return None
        buffer = self._buffer
        found = regular_requests.gather(buffer.memory, buffer.start, buffer.end, self._max_pdu, contexts)
        if not isinstance(found, tuple):
            self.collecting = found is regular_requests.INCOMPLETE and buffer.end - buffer.start < self._room
            return None
        context_id, message_id, sop_class, sop_instance, originator, command, data_set, buffer.start = found
        encoded = bytes(buffer.view[command])
        request = Command(
            CommandField.C_STORE_RQ, message_id, True, sop_class, sop_instance, command_text(originator), encoded
        )
        store = events.StoreRequested(context_id, request, *contexts[context_id])
        return store, events.DataReceived([buffer.view[data_set]], True)

    def read_piecemeal(self) -> None:
        """Wait no longer: the `MessageReader` reads what has arrived of the request."""
        self._piecemeal = self._piecemeal or self.collecting
        self.collecting = False
