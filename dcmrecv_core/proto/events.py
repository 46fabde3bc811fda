"""The acceptor's events. Views in them are valid until bytes are received or the next event is taken."""

from __future__ import annotations

from typing import NamedTuple

from dcmrecv_core.api.errors import RemoteProtocolError
from dcmrecv_core.api.services import Command as ServiceCommand
from dcmrecv_core.proto.associate import AssociateRequest
from dcmrecv_core.proto.dimse import Command
from dcmrecv_core.proto.pdu import Rejection


class AssociateRequested(NamedTuple):
    """A valid request; answer with `accept`, `reject` or `abort`."""

    request: AssociateRequest


class Rejected(NamedTuple):
    """The acceptor has rejected the association itself: protocol version or application context."""

    request: AssociateRequest
    rejection: Rejection


class EchoRequested(NamedTuple):
    """A C-ECHO-RQ; answer with `respond`."""

    context_id: int
    command: Command


class StoreRequested(NamedTuple):
    """A C-STORE-RQ whose data set follows in `DataReceived` events; answer with `respond` after the last."""

    context_id: int
    command: Command
    abstract_syntax: str
    transfer_syntax: str


class ServiceRequested(NamedTuple):
    """A DIMSE-N request; its data set follows in `DataReceived` events if the command says that it has one. Answer with
    `respond_to_service`."""

    context_id: int
    command: Command
    request: ServiceCommand
    transfer_syntax: str


class ReportAnswered(NamedTuple):
    """The response to an N-EVENT-REPORT that was sent with `report`; its data set, if any, was dropped."""

    message_id: int
    status: int


class DataReceived(NamedTuple):
    """All fragments of the current data set that the buffer holds, in order; `last` completes the message."""

    fragments: list[memoryview]
    last: bool


class CommandRefused(NamedTuple):
    """The acceptor has answered this request itself and dropped its data set."""

    context_id: int
    command: Command
    status: int
    comment: str


class Notice(NamedTuple):
    """A deviation that is tolerated, for the log."""

    text: str


class Released(NamedTuple):
    """The peer has released the association, and the response is queued; `mid_message`: a message is incomplete."""

    mid_message: bool


class Aborted(NamedTuple):
    """The peer has aborted the association."""

    source: int
    reason: int


class Closed(NamedTuple):
    """The connection has ended without release or abort."""

    mid_message: bool


class Failed(NamedTuple):
    """The peer broke the protocol; the A-ABORT is queued."""

    error: RemoteProtocolError


Event = (
    AssociateRequested
    | Rejected
    | EchoRequested
    | StoreRequested
    | ServiceRequested
    | ReportAnswered
    | DataReceived
    | CommandRefused
    | Notice
    | Released
    | Aborted
    | Closed
    | Failed
)
