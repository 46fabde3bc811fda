"""One association, seen from the acceptor: bytes in, events and bytes out.

The caller reads from its socket into `get_buffer`, calls `buffer_updated`, takes events with `next_event` until it
returns None, decides, and sends `output`. P-DATA-TF is parsed as it arrives: fragments of a data set are returned
as views of the buffer, without waiting for the end of their PDU or PDV. The package's docstring has the theory of
operation: states, decisions, errors, limits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from dcmrecv_core import compiled
from dcmrecv_core.api.errors import LocalProtocolError, RemoteProtocolError
from dcmrecv_core.api.services import Command as ServiceCommand
from dcmrecv_core.api.services import EventReport, Response
from dcmrecv_core.proto import events, pdu
from dcmrecv_core.proto.associate import (
    APPLICATION_CONTEXT,
    MIN_MAX_LENGTH,
    AssociateAccept,
    AssociateRequest,
    UserInformation,
    decode_associate_rq,
    encode_associate_ac,
)
from dcmrecv_core.proto.buffer import ReceiveBuffer
from dcmrecv_core.proto.dimse import Command, encode_response
from dcmrecv_core.proto.message import MessageReader
from dcmrecv_core.proto.negotiation import Answer
from dcmrecv_core.proto.pdu import HEADER, HEADER_LENGTH, PduType, Rejection
from dcmrecv_core.proto.services import encode_event_report, encode_service_response
from dcmrecv_core.proto.states import TRANSITIONS, Action, State, StateEvent

if compiled.AVAILABLE:
    from dcmrecv_core.proto import regular_requests

SERVICE_USER = 0
SERVICE_PROVIDER = 2
UNRECOGNIZED_PDU = 1
UNEXPECTED_PDU = 2
INVALID_PARAMETER = 6

WRONG_VERSION = Rejection(1, 2, 2)
WRONG_APPLICATION_CONTEXT = Rejection(1, 1, 2)
"""Rejections that the acceptor decides itself (PS3.8 section 9.3.4)."""

_EVENT_OF = {
    PduType.ASSOCIATE_RQ: StateEvent.ASSOCIATE_RQ,
    PduType.ASSOCIATE_AC: StateEvent.ASSOCIATE_AC,
    PduType.ASSOCIATE_RJ: StateEvent.ASSOCIATE_RJ,
    PduType.P_DATA_TF: StateEvent.P_DATA_TF,
    PduType.RELEASE_RQ: StateEvent.RELEASE_RQ,
    PduType.RELEASE_RP: StateEvent.RELEASE_RP,
    PduType.ABORT: StateEvent.ABORT,
}
_WITH_BODY = {
    (State.STA2, PduType.ASSOCIATE_RQ),
    (State.STA6, PduType.RELEASE_RQ),
    *((state, PduType.ABORT) for state in State),
}
"""PDUs whose body matters in a state; of all others the header suffices."""

# access to a member of an enumeration costs 0.1 microseconds in Python 3.11
_STA6 = State.STA6

_KNOWN_TO_CALLER = (State.STA3, State.STA6, State.STA8)
"""States in which the caller has an association, so that it gets an event when that ends."""

Decode = Callable[[bytes], AssociateRequest]


class Acceptor:
    """`memory` is the receive buffer (at least 16 bytes; a megabyte is good), used by one association at a time.

    `max_pdu` is announced as our maximum length and enforced. With `serves` the caller gets DIMSE-N requests, else they
    are refused here. `decode` may cache decoded requests.
    """

    def __init__(
        self,
        memory: bytearray,
        *,
        max_pdu: int,
        implementation_class_uid: str,
        implementation_version_name: str,
        strict: bool = False,
        serves: bool = False,
        decode: Decode = decode_associate_rq,
    ) -> None:
        self.state = State.STA2
        self._max_pdu = max_pdu & ~1
        self._identity = (implementation_class_uid, implementation_version_name)
        self._strict = strict
        self._decode = decode
        buffer = self._buffer = ReceiveBuffer(memory)
        self.get_buffer: Callable[[], memoryview] = buffer.free
        """The part to read into; invalidates views in earlier events. Not empty after `next_event` returned None."""
        self.buffer_updated: Callable[[int], None] = buffer.filled
        """Call with the number of bytes read into the buffer."""
        self._request: AssociateRequest | None = None
        self._peer_max_length = 0
        self.output = bytearray()
        """What is queued for the peer; the caller deletes what it has sent."""
        self._events: deque[events.Event] = deque()
        self._messages = MessageReader(
            buffer, self._events, self._answer_refused, max_pdu=self._max_pdu, strict=strict, serves=serves
        )
        self._body: bytearray | None = None  # of the PDU that is being read
        self._body_type = 0
        self._body_left = 0  # bytes to come of it, or of a PDU that is skipped
        self._discarding_input = False  # after the end; in Sta13 after an unknown PDU or another answer

    @property
    def artim(self) -> bool:
        """Whether the ARTIM timer should run (PS3.8 section 9.1.5); the clock is the caller's."""
        return self.state in (State.STA2, State.STA13)

    # Input

    def receive_eof(self) -> None:
        """The peer closed its side, or the connection broke (event 17). Take all events before this call."""
        if self.state in _KNOWN_TO_CALLER:
            self._events.append(events.Closed(self._messages.mid_message))
        if self.state is not State.STA1:
            self._apply(StateEvent.CLOSED)

    def artim_expired(self) -> None:
        """The ARTIM timer ran out (event 18)."""
        if (self.state, StateEvent.ARTIM_EXPIRED) in TRANSITIONS:
            self._apply(StateEvent.ARTIM_EXPIRED)

    def receive_request(self, data: bytes) -> None:
        """A whole A-ASSOCIATE-RQ, header included; the caller has read it and checked its length."""
        if self.state is not State.STA2 or self._body_left:
            raise LocalProtocolError("there is no association request to come")
        try:
            length = len(data) - HEADER_LENGTH
            if length < 0 or pdu.check_request_header(data[:HEADER_LENGTH], length) != length:
                raise RemoteProtocolError("A-ASSOCIATE-RQ is not complete", source=SERVICE_USER)
            self._on_request(data[HEADER_LENGTH:])
        except RemoteProtocolError as error:
            self._fail(error, StateEvent.UNRECOGNIZED)

    @property
    def mid_message(self) -> bool:
        """Whether a message or PDU has begun, if only with the first byte of its header, and not ended. Also True while
        the buffer holds bytes that `next_event` has not seen."""
        buffer = self._buffer
        return buffer.end > buffer.start or self._body_left > 0 or self._messages.mid_message

    def read_rest(self) -> int:
        """The association ends within a data set: drop what has arrived of it and is not in an event yet; returns how
        many bytes that are."""
        return self._messages.read_rest()

    def next_event(self) -> events.Event | None:
        """The next event, None if more bytes are needed. Errors of the peer are events (`Failed`), not exceptions."""
        queued, buffer = self._events, self._buffer
        while not queued and buffer.start < buffer.end:
            try:
                if not self._advance():
                    break
            except RemoteProtocolError as error:
                self._fail(error, StateEvent.UNRECOGNIZED)
        return queued.popleft() if queued else None

    # Decisions

    def accept(self, answer: Answer, *, identity_response: bytes | None = None) -> None:
        """Send A-ASSOCIATE-AC with the results of the negotiation.

        Raises LocalProtocolError, with nothing sent, if its items do not fit; `reject` is still possible then.
        """
        request = self._received_request()
        class_uid, version_name = self._identity
        user = UserInformation(
            max_length=self._max_pdu,
            implementation_class_uid=class_uid,
            implementation_version_name=version_name,
            async_window=(1, 1) if request.user.async_window is not None else None,
            roles=answer.roles,
            extended=answer.extended,
            identity_response=identity_response,
        )
        data = encode_associate_ac(AssociateAccept(request.called, request.calling, answer.results, user))
        self._messages.contexts = answer.accepted
        self._apply(StateEvent.ACCEPT, data)

    def reject(self, rejection: Rejection) -> None:
        """Send A-ASSOCIATE-RJ."""
        self._apply(StateEvent.REJECT, pdu.encode_associate_rj(*rejection))

    def respond(
        self, context_id: int, command: Command, status: int, comment: str = "", elements: tuple[int, ...] = ()
    ) -> None:
        """Send the response to a C-ECHO or C-STORE."""
        output = None
        if compiled.AVAILABLE and not (comment or elements):
            output = regular_requests.encode_response(context_id, command, status, self._peer_max_length)
        if output is None:
            data = encode_response(command, status, comment, elements)
            output = pdu.encode_message(context_id, data, self._peer_max_length, command=True)
        if self.state is _STA6:  # DT-1, for each instance: nothing changes
            self.output += output
        else:
            self._apply(StateEvent.SEND_DATA, output)

    def respond_to_service(
        self,
        context_id: int,
        request: ServiceCommand,
        response: Response,
        data_set: bytes | None = None,
        elements: tuple[int, ...] = (),
    ) -> None:
        """Send the response to a DIMSE-N request; `data_set` is that of `response`, encoded."""
        command = encode_service_response(request, response, elements, has_data_set=data_set is not None)
        output = pdu.encode_message(context_id, command, self._peer_max_length, command=True)
        if data_set is not None:
            output += pdu.encode_message(context_id, data_set, self._peer_max_length, command=False)
        self._apply(StateEvent.SEND_DATA, output)

    def report(self, context_id: int, message_id: int, report: EventReport, data_set: bytes | None) -> None:
        """Send an N-EVENT-REPORT under a Message ID of ours; `data_set` is that of `report`, encoded. The answer is
        `ReportAnswered`."""
        self._messages.awaited.add(message_id)
        command = encode_event_report(message_id, report, has_data_set=data_set is not None)
        output = pdu.encode_message(context_id, command, self._peer_max_length, command=True)
        if data_set is not None:
            output += pdu.encode_message(context_id, data_set, self._peer_max_length, command=False)
        self._apply(StateEvent.SEND_DATA, output)

    def abort(self, source: int = SERVICE_PROVIDER, reason: int = 0) -> None:
        """Give up: send A-ABORT (event 15)."""
        if (self.state, StateEvent.ABORT_REQUEST) in TRANSITIONS:
            self._apply(StateEvent.ABORT_REQUEST, pdu.encode_abort(source, reason))

    # Reading

    def _advance(self) -> bool:
        """Consume bytes; False if no more can be consumed."""
        buffer = self._buffer
        if self._discarding_input:
            buffer.discard()
            return False
        if self._body_left:
            return self._read_body()
        start = buffer.start
        if not self._messages.pdu_left:
            if buffer.end - start < HEADER_LENGTH:
                return False
            if self.state is not _STA6 or buffer.memory[start] != PduType.P_DATA_TF:
                buffer.start = start + HEADER_LENGTH
                self._on_header(*HEADER.unpack_from(buffer.memory, start))
                return True
        self._messages.read()
        return buffer.start > start

    def _on_header(self, kind: int, length: int) -> None:
        event = _EVENT_OF.get(kind)
        if event is None:
            self._discarding_input = True
            raise RemoteProtocolError(f"unrecognized PDU type {kind:02X}", reason=UNRECOGNIZED_PDU)
        self._body_left, self._body = length, None
        if (self.state, kind) not in _WITH_BODY:
            self._on_unexpected(event)
            return
        if kind == PduType.ASSOCIATE_RQ:
            pdu.check_request_length(length)
        elif length != pdu.SMALL_LENGTH:
            raise RemoteProtocolError(f"PDU {kind:02X} has a length of {length}", reason=INVALID_PARAMETER)
        self._body, self._body_type = bytearray(), kind

    def _read_body(self) -> bool:
        data = self._buffer.take(self._body_left)
        self._body_left -= len(data)
        if self._body is not None:
            self._body += data
            if not self._body_left:
                body, self._body = bytes(self._body), None
                if self._body_type == PduType.ASSOCIATE_RQ:
                    self._on_request(body)
                elif self._body_type == PduType.RELEASE_RQ:
                    self._on_release()
                else:
                    self._on_abort(body)
        return bool(data)

    def _answer_refused(self, event: events.CommandRefused) -> None:
        self.respond(event.context_id, event.command, event.status, event.comment)

    # Events

    def _on_unexpected(self, event: StateEvent) -> None:
        name = event.name.replace("_", "-")
        text = f"unexpected {name if event is StateEvent.P_DATA_TF else f'A-{name}'}"
        self._fail(RemoteProtocolError(text, reason=UNEXPECTED_PDU), event)

    def _on_request(self, body: bytes) -> None:
        request = self._decode(body)
        even = [context.context_id for context in request.contexts if context.context_id % 2 == 0]
        if even and self._strict:
            raise RemoteProtocolError(f"presentation context id {even[0]} is even", source=SERVICE_USER)
        self._request = request
        self._peer_max_length = request.user.max_length or 0
        self._apply(StateEvent.ASSOCIATE_RQ)
        if 0 < self._peer_max_length < MIN_MAX_LENGTH:
            raise RemoteProtocolError(f"maximum length of {self._peer_max_length}", reason=INVALID_PARAMETER)
        self._events.extend(events.Notice(f"presentation context id {number} is even") for number in even)
        if not request.protocol_version & 1:
            self._refuse(request, WRONG_VERSION)
        elif request.application_context != APPLICATION_CONTEXT:
            self._refuse(request, WRONG_APPLICATION_CONTEXT)
        else:
            self._events.append(events.AssociateRequested(request))

    def _refuse(self, request: AssociateRequest, rejection: Rejection) -> None:
        self.reject(rejection)
        self._events.append(events.Rejected(request, rejection))

    def _on_release(self) -> None:
        mid_message = self._messages.mid_message
        self._apply(StateEvent.RELEASE_RQ)
        self._apply(StateEvent.RELEASE_RESPONSE, pdu.encode_release_rp())
        self._events.append(events.Released(mid_message))

    def _on_abort(self, body: bytes) -> None:
        known = self.state in _KNOWN_TO_CALLER
        self._apply(StateEvent.ABORT)
        if known:
            self._events.append(events.Aborted(body[2], body[3]))

    def _fail(self, error: RemoteProtocolError, event: StateEvent) -> None:
        """Answer an error of the peer as the state table says."""
        if self.state is State.STA2:
            # AA-1: before there is an association, the source of any abort is the service user
            error = RemoteProtocolError(str(error), source=SERVICE_USER, detail=error.detail)
        if self.state is not State.STA13:
            self._events.append(events.Failed(error))
        self._apply(event, pdu.encode_abort(error.source, error.reason))

    def _apply(self, event: StateEvent, output: bytes = b"") -> None:
        """One cell of the state table."""
        cell = TRANSITIONS.get((self.state, event))
        if cell is None:
            raise LocalProtocolError(f"{event.name} is not possible in state {self.state}")
        action, following = cell
        if output and action is not Action.AA6:
            self.output += output
        if action is Action.AA7:
            # Answered once, then ignored: else a flood of requests would cause a flood of answers
            self._discarding_input = True
        if following is not self.state:
            self.state = following
            self._discarding_input = self._discarding_input or following is State.STA1
            if following is State.STA13:
                # The rest of a P-DATA-TF has no meaning any more, but the next PDU may be an A-ABORT
                self._body_left += self._messages.drop()

    def _received_request(self) -> AssociateRequest:
        if self._request is None:
            raise LocalProtocolError("there is no association request to answer")
        return self._request
