"""P-DATA-TF to messages (PS3.7 section 6.3, PS3.8 annex E): whole command sets, then their data sets.

The compiled part (see `dcmrecv_core.compiled`) reads what is regular: a C-STORE whose command set is complete, and all
of its data set at once. Until that has arrived it waits in the buffer, if it fits. All else is read here in pieces.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

from dcmrecv_core import compiled
from dcmrecv_core.api.errors import RemoteProtocolError
from dcmrecv_core.proto import events, services
from dcmrecv_core.proto.buffer import ReceiveBuffer
from dcmrecv_core.proto.dimse import (
    MAX_COMMAND_LENGTH,
    MAX_UID_LENGTH,
    RESPONSE_BIT,
    Command,
    CommandField,
    Status,
    decode_command,
)
from dcmrecv_core.proto.pdu import COMMAND_BIT, HEADER, HEADER_LENGTH, LAST_BIT, PDV_HEADER, PDV_OVERHEAD, PduType

if compiled.AVAILABLE:
    from dcmrecv_core.proto import regular_requests

_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")
"""The characters of PS3.5 section 9.1. It also forbids leading zeros, but these are harmless."""


class ContextNotAcceptedError(RemoteProtocolError):
    """A message on a presentation context that was refused, or never proposed."""

    def __init__(self, context_id: int) -> None:
        super().__init__(f"presentation context {context_id} was not accepted", reason=6)
        self.context_id = context_id


class MessageReader:
    """Reads P-DATA-TF from `buffer`, and appends what it finds to `events`. `refuse` answers a request that is refused.
    `contexts` are the accepted ones: (abstract, transfer syntax) by id."""

    __slots__ = (
        "_buffer",
        "_collects",
        "_command",
        "_command_bytes",
        "_context_id",
        "_events",
        "_in_pdv",
        "_last",
        "_max_pdu",
        "_odd_noticed",
        "_pdv_left",
        "_refusal",
        "_refuse",
        "_room",
        "_serves",
        "_strict",
        "awaited",
        "contexts",
        "pdu_left",
    )

    def __init__(
        self,
        buffer: ReceiveBuffer,
        events: deque[events.Event],
        refuse: Callable[[events.CommandRefused], None],
        *,
        max_pdu: int,
        strict: bool,
        serves: bool = False,
    ) -> None:
        self.contexts: dict[int, tuple[str, str]] = {}
        self.awaited: set[int] = set()
        """Message IDs of our own requests, N-EVENT-REPORTs, which have no response yet."""
        self._events = events
        self._refuse = refuse
        self._buffer = buffer
        self._max_pdu = max_pdu
        self._strict = strict
        self._serves = serves
        self.pdu_left = 0
        """Bytes of a P-DATA-TF to come, 0 between two PDUs."""
        self._in_pdv = False
        self._pdv_left = 0
        self._last = False
        self._command_bytes = bytearray()
        self._context_id = 0
        self._command: Command | None = None  # the one whose data set is being read
        self._refusal: tuple[int, str] | None = None  # status and comment with which it will be answered
        self._odd_noticed = False
        self._collects = False  # the compiled part may read the data set; nothing of it was read yet
        self._room = len(buffer.memory) * 15 // 16 if compiled.AVAILABLE else 0  # leaves room to receive into

    @property
    def mid_message(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._command is not None or self.pdu_left > 0 or bool(self._command_bytes)

    def _begin_pdu(self, length: int) -> None:
        """A P-DATA-TF header was read; raises RemoteProtocolError before anything of its body is buffered."""
        self.pdu_left = length
        if length > self._max_pdu:
            raise RemoteProtocolError(f"P-DATA-TF of {length} bytes, at most {self._max_pdu} were announced", reason=6)
        if length < PDV_OVERHEAD:
            raise RemoteProtocolError("P-DATA-TF without a PDV", reason=6)

    def drop(self) -> int:
        """Drop an incomplete message at the end of the association; returns how many bytes of its PDU are to come."""
        left, self.pdu_left = self.pdu_left, 0
        self._in_pdv = self._collects = False
        self._command = None
        self._command_bytes.clear()
        return left

    def read(self) -> None:
        """Find the next event in the buffered bytes, which begin within a P-DATA-TF or with its header; for a C-STORE
        that has arrived as a whole both events, none if more bytes are needed."""
        if self._collects:
            if self._read_data_set():
                return
            self._collects = False
        elif self._command is None and not self.pdu_left and not self._command_bytes and self._read_request():
            return
        event = self._read_pieces()
        if event is not None:
            self._events.append(event)

    def _read_request(self) -> bool:
        """Read the next C-STORE as far as it has arrived; False if its command set is not regular or not complete."""
        if not self._room:
            return False
        buffer = self._buffer
        found = regular_requests.read_request(
            buffer.memory, buffer.view, buffer.start, buffer.end, self._max_pdu, self.contexts
        )
        if found is None:
            return False
        store, data, buffer.start, self.pdu_left = found
        self._events.append(store)
        if data is not None:
            self._events.append(data)
        else:
            self._context_id, self._command, self._refusal = store.context_id, store.command, None
            self._collects = True
        return True

    def _read_data_set(self) -> bool:
        """Read the data set of the command, or wait for more of it; False if it has to be read in pieces."""
        buffer = self._buffer
        start, end = buffer.start, buffer.end
        found = regular_requests.read_data_set(
            buffer.memory, buffer.view, start, end, self.pdu_left, self._max_pdu, self._context_id
        )
        if not isinstance(found, tuple):
            return found is not None and end - start < self._room
        data, buffer.start, self.pdu_left = found
        self._command, self._collects = None, False
        self._events.append(data)
        return True

    def read_rest(self) -> int:
        """No more bytes will come: read what has arrived of a data set; returns how many bytes of it that are."""
        if not self._collects:
            return 0
        self._collects = False
        event = self._read_pieces()
        return sum(map(len, event.fragments)) if isinstance(event, events.DataReceived) else 0

    def _read_pieces(self) -> events.Event | None:
        """The loop runs over PDVs and PDUs, so that one event has all bytes of one receive."""
        buffer = self._buffer
        view = buffer.view
        fragments: list[memoryview] = []
        try:
            while self._in_pdv or self._next_pdv():
                start = buffer.start
                left = self._pdv_left
                count = min(left, buffer.end - start)
                if count:
                    buffer.start = end = start + count
                    self.pdu_left -= count
                    if self._command is None:
                        self._add_command(view[start:end])
                    else:
                        fragments.append(view[start:end])
                if count < left:
                    self._pdv_left = left - count
                    break
                self._in_pdv = False
                if self._last:
                    event = self._end_of_part(fragments)
                    if event is not None:
                        return event
        except RemoteProtocolError:
            if fragments and self._refusal is None:  # what had arrived before counts
                self._events.append(events.DataReceived(fragments, False))
            raise
        if fragments and self._refusal is None:
            return events.DataReceived(fragments, False)
        return None

    def _next_pdv(self) -> bool:
        """Read the next PDV header, and that of a P-DATA-TF before it if one is due; False if there is none."""
        buffer = self._buffer
        start, available = buffer.start, buffer.end - buffer.start
        if not self.pdu_left:
            if available < HEADER_LENGTH or buffer.memory[start] != PduType.P_DATA_TF:
                return False
            buffer.start = start + HEADER_LENGTH
            self._begin_pdu(HEADER.unpack_from(buffer.memory, start)[1])
            start += HEADER_LENGTH
            available -= HEADER_LENGTH
        left = self.pdu_left
        if left < PDV_OVERHEAD:
            raise RemoteProtocolError(f"{left} bytes left in P-DATA-TF, too few for a PDV", reason=6)
        if available < PDV_OVERHEAD:
            return False
        length, context_id, control = PDV_HEADER.unpack_from(buffer.memory, start)
        if length < 2 or length + 4 > left:
            raise RemoteProtocolError(f"PDV of {length} bytes does not fit into the {left} left of its PDU", reason=6)
        if self._command is None or context_id != self._context_id or control & COMMAND_BIT:
            self._check_order(context_id, bool(control & COMMAND_BIT))
        if length & 1 and not self._odd_noticed:
            self._odd_noticed = True
            self._events.append(events.Notice(f"fragment of odd length on presentation context {context_id}"))
        buffer.start = start + PDV_OVERHEAD
        self.pdu_left = left - PDV_OVERHEAD
        self._pdv_left = length - 2
        self._last = bool(control & LAST_BIT)
        self._in_pdv = True
        return True

    def _check_order(self, context_id: int, is_command: bool) -> None:
        """No interleaving (PS3.8 annex E.1): all of a message on one context, the command first."""
        under_way = self._command is not None
        if is_command is under_way:
            text = "command PDV within a data set" if under_way else "data set PDV without a command"
            raise RemoteProtocolError(text, reason=5)
        if under_way or self._command_bytes:
            if context_id != self._context_id:
                raise RemoteProtocolError(f"message changes to presentation context {context_id}", reason=6)
        elif context_id not in self.contexts:
            raise ContextNotAcceptedError(context_id)
        self._context_id = context_id

    def _add_command(self, data: memoryview) -> None:
        if len(self._command_bytes) + len(data) > MAX_COMMAND_LENGTH:
            raise RemoteProtocolError(f"command set of more than {MAX_COMMAND_LENGTH} bytes", reason=6)
        self._command_bytes += data

    def _end_of_part(self, fragments: list[memoryview]) -> events.Event | None:
        """The last fragment of a command or data set is complete."""
        self._odd_noticed = False
        if self._command is None:
            command = decode_command(bytes(self._command_bytes))
            self._command_bytes.clear()
            return self._on_command(command)
        command, self._command = self._command, None
        if self._refusal is None:
            return events.DataReceived(fragments, True)
        if command.field == CommandField.C_ECHO_RQ:
            return events.EchoRequested(self._context_id, command)
        if command.field & RESPONSE_BIT:
            return events.ReportAnswered(command.message_id, services.status_in(command))
        return self._refused(command, *self._refusal)

    def _refused(self, command: Command, status: int, comment: str) -> events.CommandRefused:
        event = events.CommandRefused(self._context_id, command, status, comment)
        self._refuse(event)
        return event

    def _on_command(self, command: Command) -> events.Event | None:
        """A command set is complete."""
        if command.field == CommandField.C_CANCEL_RQ:
            self._events.append(events.Notice("C-CANCEL ignored"))
            return None
        if command.field & RESPONSE_BIT:
            return self._on_response(command)
        abstract_syntax, transfer_syntax = self.contexts[self._context_id]
        if self._serves and command.field in services.FIELDS:
            return self._on_service(command, transfer_syntax)
        refusal = self._refusal_of(command, abstract_syntax)
        if command.has_data_set:
            self._command, self._refusal = command, refusal
            if refusal is not None:
                return None
            self._collects = self._room > 0
            return events.StoreRequested(self._context_id, command, abstract_syntax, transfer_syntax)
        if command.field == CommandField.C_ECHO_RQ:
            return events.EchoRequested(self._context_id, command)
        status, comment = refusal or (Status.MISTYPED_ARGUMENT, "C-STORE without a data set")
        return self._refused(command, status, comment)

    def _on_response(self, command: Command) -> events.Event | None:
        """The command set of a response is complete; a data set after it is dropped."""
        if command.field != services.REPORT_RESPONSE or command.message_id not in self.awaited:
            raise RemoteProtocolError(f"response {command.field:04X} to a request that was never made", reason=5)
        self.awaited.remove(command.message_id)
        if not command.has_data_set:
            return events.ReportAnswered(command.message_id, services.status_in(command))
        self._command, self._refusal = command, (Status.SUCCESS, "")
        return None

    def _on_service(self, command: Command, transfer_syntax: str) -> events.Event | None:
        """The command set of a DIMSE-N request is complete."""
        request = services.decode_service(command)
        refusal = services.refusal_of(request)
        if refusal is None:
            refusal = self._unfit(request.sop_instance_uid) if request.sop_instance_uid else None
        if command.has_data_set:
            self._command, self._refusal = command, refusal
            if refusal is not None:
                return None
        elif refusal is not None:
            return self._refused(command, *refusal)
        return events.ServiceRequested(self._context_id, command, request, transfer_syntax)

    def _unfit(self, sop_instance_uid: str) -> tuple[int, str] | None:
        """With `strict` the refusal of a UID with unfit characters; without it a notice."""
        if _UID.fullmatch(sop_instance_uid):
            return None
        if self._strict:
            return Status.INVALID_SOP_INSTANCE, "SOP Instance UID has unfit characters"
        self._events.append(events.Notice(f"SOP Instance UID {sop_instance_uid!r} has unfit characters"))
        return None

    def _refusal_of(self, command: Command, abstract_syntax: str) -> tuple[int, str] | None:
        """Status and comment for a request that is answered here; None for a C-STORE that the caller handles."""
        if command.field == CommandField.C_ECHO_RQ:
            return Status.SUCCESS, ""
        if command.field != CommandField.C_STORE_RQ:
            return Status.UNRECOGNIZED_OPERATION, "Only C-STORE and C-ECHO are supported"
        if len(command.sop_class_uid) > MAX_UID_LENGTH:
            return Status.SOP_CLASS_NOT_SUPPORTED, "Affected SOP Class UID is longer than 64 characters"
        sop_instance_uid = command.sop_instance_uid
        if not sop_instance_uid or len(sop_instance_uid) > MAX_UID_LENGTH:
            fault = "longer than 64 characters" if sop_instance_uid else "missing"
            return Status.INVALID_SOP_INSTANCE, f"Affected SOP Instance UID is {fault}"
        if not _UID.fullmatch(sop_instance_uid):
            if self._strict:
                return Status.INVALID_SOP_INSTANCE, "Affected SOP Instance UID has unfit characters"
            self._events.append(events.Notice(f"SOP Instance UID {sop_instance_uid!r} has unfit characters"))
        if command.sop_class_uid != abstract_syntax:
            if self._strict:
                return Status.SOP_CLASS_NOT_SUPPORTED, "SOP class differs from the presentation context's"
            self._events.append(
                events.Notice(f"SOP class {command.sop_class_uid!r} on a presentation context of {abstract_syntax}")
            )
        return None
