"""Log lines about associations: DCMTK dcmrecv's texts at its levels, because scripts match them.

Events for which DCMTK has no line get lines of their own, and so do those for which its line does not name the sender:
`Association from CALLING (ADDRESS) to CALLED: ...`, `C-STORE UID from CALLING (ADDRESS) to CALLED: ...`. No text is
composed for a level that is off; for events of every instance the session checks `logs_info` and `logs_debug` before it
calls.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from dcmrecv_core.api.verdicts import SupportedContext, is_failure
from dcmrecv_core.logs.hashed_uids import UIDS
from dcmrecv_core.net.hostnames import HostNames
from dcmrecv_core.net.worker import association_dumps as dumps
from dcmrecv_core.net.worker import message_dumps
from dcmrecv_core.net.worker.request_log import log_failed_request
from dcmrecv_core.proto import negotiation
from dcmrecv_core.proto.acceptor import WRONG_VERSION
from dcmrecv_core.proto.dimse import Command, Status
from dcmrecv_core.proto.message import ContextNotAcceptedError
from dcmrecv_core.proto.pdu import Rejection
from dcmrecv_core.settings.context_hints import hint_for, log_lines, shown

if TYPE_CHECKING:
    from dcmrecv_core.api.errors import RemoteProtocolError
    from dcmrecv_core.api.model import Association, ProposedContext
    from dcmrecv_core.api.outcomes import Summary
    from dcmrecv_core.api.services import Response
    from dcmrecv_core.logs.serving import Serving
    from dcmrecv_core.net.handover import Handover
    from dcmrecv_core.proto.associate import AssociateRequest
    from dcmrecv_core.proto.events import DataReceived, ServiceRequested, StoreRequested
    from dcmrecv_core.receive.pipeline import Outcome
    from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("dcmrecv.net")

PEER_GONE = "0006:0317 Peer aborted Association (or never connected)"
PEER_RELEASES = "0006:0319 DUL Peer Requested Release"
NO_DATA = "0006:020e DIMSE No data available (timeout in non-blocking mode)"
NOT_RECEIVED = "0006:020d DIMSE Failed to receive message"
"""Why a data set is incomplete, in DCMTK's words."""

CANNOT_UNDERSTAND = 0xC000

_NO_DATA_SET = "Unable to receive dataset on presentation context 0: %s"
"""With 0 for the context, as in DCMTK."""

_NOT_STORED = "Unable to receive C-STORE dataset on presentation context %d"

_ROLE_REFUSED = (
    "ASSOC: SCP/SCU role selection failed, Default role (i.e. SCU) proposed but only SCP role configured for acceptance"
    "\n  for SOP class %s, from %s"
)
_NO_ROLE = (
    "setting accepted SCP/SCU role to NONE, i.e. both role fields are 0 in SCP/SCU role selection sub-item"
    "\n  for SOP class %s, from %s"
)


class AssociationLog:
    """Logs one association after the other; each worker has one. The levels are read when it is made; `serving` knows
    the sender."""

    def __init__(self, settings: Settings, serving: Serving) -> None:
        self._serving = serving
        self.logs_info = log.isEnabledFor(logging.INFO)
        self.logs_debug = log.isEnabledFor(logging.DEBUG)
        dump_level = logging.INFO if settings.verbose_pc else logging.DEBUG
        self._dump_level = dump_level if log.isEnabledFor(dump_level) else None
        self._max_pdu = settings.max_pdu
        self._next_step = "checking and processing C-STORE request"
        if settings.ignore:
            self._next_step = "received dataset is not stored since the storage mode is set to 'ignore'"
        looks_up = self.logs_info and not settings.disable_host_lookup
        self.host_name: Callable[[str], str] = HostNames().name if looks_up else str

    # Association

    def request_bytes(self, data: bytes) -> None:
        """An A-ASSOCIATE-RQ has arrived, not decoded yet."""
        if self.logs_debug:
            log.debug(dumps.request_bytes(data))

    def requested(self, handover: Handover, request: AssociateRequest) -> None:
        if UIDS.key is not None:
            UIDS.show_proposed(_syntaxes(request))
        if self.logs_info:
            host = self.host_name(handover.address)
            log.info("Association Received %s: %s -> %s", host, request.calling_ae_title, request.called_ae_title)
        if self._dump_level is not None:
            dump = dumps.association("A-ASSOCIATE-RQ", request, self._max_pdu)
            log.log(self._dump_level, f"Incoming Association Request:\n{dump}")

    def negotiated(self, answer: negotiation.Answer) -> None:
        """Refused roles, and the settings that would accept the refused contexts."""
        for context, result in answer.refused:
            if result == negotiation.NO_REASON:
                log.error(_ROLE_REFUSED, context.abstract_syntax, self._serving.sender)
        if self.logs_info and answer.refused:
            _log_hints(answer, self._serving.sender)

    def acknowledged(
        self, request: AssociateRequest, answer: negotiation.Answer, supported: Sequence[SupportedContext]
    ) -> None:
        log.debug("Constructing Associate AC PDU")
        for uid, role in answer.roles.items():
            if not any(role):
                log.warning(_NO_ROLE, uid, self._serving.sender)
        length = _max_send_pdv(request)
        log.debug("DcmSCP: Association Acknowledged")
        log.info("Association Acknowledged (Max Send PDV: %d)", length)
        self._dump_decision("A-ASSOCIATE-AC", request, answer, supported)

    def nothing_acceptable(
        self, request: AssociateRequest, answer: negotiation.Answer, supported: Sequence[SupportedContext]
    ) -> None:
        log.info("No Acceptable Presentation Contexts")
        self._dump_decision("A-ASSOCIATE-RJ", request, answer, supported)

    def _dump_decision(
        self,
        kind: str,
        request: AssociateRequest,
        answer: negotiation.Answer,
        supported: Sequence[SupportedContext],
    ) -> None:
        if self._dump_level is not None:
            decision = dumps.Decision(answer, supported)
            log.log(self._dump_level, dumps.association(kind, request, self._max_pdu, decision))

    def refused(self, why: str, rejection: Rejection, detail: str, *, said: bool = False) -> None:
        """An association is rejected. `why` is in DCMTK's words, `detail` in ours, with the option or cause to look at;
        `said`: a line at the default level has the cause already."""
        log.info("Refusing Association (%s)", why)
        text = "Association from %s: rejected (%d/%d/%d), %s"
        log.log(logging.INFO if said else logging.WARNING, text, self._serving.sender, *rejection, detail)
        log.debug("A-ASSOCIATE-RJ: result %d, source %d, reason %d", *rejection)

    def refused_by_protocol(self, handover: Handover, request: AssociateRequest, rejection: Rejection) -> None:
        """`proto/` has rejected the association."""
        if rejection == WRONG_VERSION:
            version = f"{request.protocol_version:04x}"
            text = f"DUL Unsupported peer protocol {version}; expected 0001 in parseAssociate"
            log_failed_request(self._serving.sender, text)
            return
        self.requested(handover, request)
        detail = f"application context {request.application_context} is not that of DICOM"
        self.refused("bad application context", rejection, detail)
        self.terminated()

    def released(self) -> None:
        log.info("Received Association Release Request")
        log.debug("A-RELEASE-RQ received, A-RELEASE-RP sent")

    def aborted(self, source: int, reason: int) -> None:
        log.info("Received Association Abort Request")
        log.debug("A-ABORT received: source %d, reason %d", source, reason)

    def closed(self) -> None:
        """The connection has ended, which DCMTK does not distinguish from an A-ABORT; `ended` does."""
        log.info("Received Association Abort Request")

    def failed(self, error: RemoteProtocolError, association: Association | None) -> None:
        """The peer has broken the protocol, in its request (without an association) or later."""
        sender = self._serving.sender
        if association is None:
            log_failed_request(sender, str(error), error.detail)
        else:
            log.error("protocol error by %s: %s%s", sender, error, _refused_context(error, association))
            log.debug("DIMSE Error, detail (if available): %s", error)
        log.debug("A-ABORT sent: source %d, reason %d", error.source, error.reason)

    def aborting(self, why: str) -> None:
        log.warning("aborting association with %s: %s", self._serving.sender, why)

    def idle(self, seconds: float) -> None:
        """No message has come for so long, and no --dimse-timeout ends the association."""
        log.warning(
            "Association from %s: idle for %d s and still open, which takes a place of --max-associations; "
            "--dimse-timeout ends such associations",
            self._serving.sender,
            seconds,
        )

    def more_after_end(self) -> None:
        """The peer has sent another association request, or an unknown PDU, instead of closing the connection."""
        text = "Association from %s: another A-ASSOCIATE-RQ or an invalid PDU after its end, answered with A-ABORT"
        log.warning(text, self._serving.sender)

    def ended(self, how: str, summary: Summary) -> None:
        """An accepted association has ended, as `how` says."""
        if self.logs_info:
            log.info(
                "Association from %s: %s after %.1f s; %d stored, %d refused, %d discarded, %d bytes",
                self._serving.sender,
                how,
                summary.seconds,
                summary.stored,
                summary.refused,
                summary.discarded,
                summary.bytes,
            )

    def sent_nothing(self, refused: Sequence[ProposedContext]) -> None:
        """The peer has asked for nothing, probably because the contexts that it needs were refused."""
        text = "Association from %s: nothing was sent; of its presentation contexts these are refused: %s; %s"
        log.warning(text, self._serving.sender, shown(refused), _to_accept(refused))

    def terminated(self) -> None:
        if self.logs_debug:
            log.debug("DcmSCP: Association Terminated")
            log.debug("+++++++++++++++++++++++++++++")

    # Messages: without `logs_info` called for failures only

    def echo(self, context_id: int, command: Command) -> None:
        if not self.logs_debug:
            log.info("Received C-ECHO Request (MsgID %d)", command.message_id)
            log.info("Sending C-ECHO Response (Success)")
            return
        log.info("Received C-ECHO Request")
        self._dump_request(context_id, command)
        log.info("Sending C-ECHO Response")
        log.debug("C-ECHO Response successfully sent")

    def store_received(self, command: Command) -> None:
        if self.logs_debug:
            log.info("Received C-STORE Request")
        else:
            log.info("Received C-STORE Request (MsgID %d)", command.message_id)

    def data_received(self, store: StoreRequested, data: DataReceived) -> None:
        """Called only if `logs_debug`: fragments of a data set have arrived."""
        size = sum(map(len, data.fragments))
        log.debug("P-DATA-TF: %d fragments of a data set, %d bytes", len(data.fragments), size)
        if data.last:
            log.debug("Received dataset on presentation context %d", store.context_id)
            self._dump_request(store.context_id, store.command)
            log.debug(self._next_step)

    def data_set_lost(self, store: StoreRequested, why: str, how: str, size: int) -> None:
        """Report an incomplete request that will never be completed, `why` in DCMTK's words, `how` in ours; `size`
        bytes of its data set had arrived."""
        log.error(_NO_DATA_SET, why)
        self._dump_request(store.context_id, store.command)
        log.error(_NOT_STORED, store.context_id)
        text = "C-STORE %s from %s: not received, %s when %d bytes had arrived"
        log.error(text, store.command.sop_instance_uid, self._serving.sender, how or why, size)

    def store_answered(self, store: StoreRequested, outcome: Outcome, size: int) -> None:
        """A C-STORE gets its response; its data set had `size` bytes."""
        if outcome.status == CANNOT_UNDERSTAND and size:
            log.error(_NO_DATA_SET, NOT_RECEIVED)
            log.error(_NOT_STORED, store.context_id)
        if outcome.location is not None and not outcome.dropped:
            log.info("Stored received object to file: %s", outcome.location)
        if outcome.location is not None:
            uid, sender = store.command.sop_instance_uid, self._serving.sender
            log.info("C-STORE %s from %s: %s, %d bytes", uid, sender, _how_stored(outcome), size)
        if not self.logs_debug:
            log.info("Sending C-STORE Response (%s)", message_dumps.status_name(outcome.status))
            return
        log.info("Sending C-STORE Response")
        log.debug(message_dumps.response(store.context_id, store.command, outcome.status, outcome.comment))

    def service_received(self, event: ServiceRequested) -> None:
        """A DIMSE-N request has arrived; its data set may be to come."""
        kind = message_dumps.message_type(event.command.field)
        log.info("Received %s Request (MsgID %d)", kind, event.command.message_id)
        self._dump_request(event.context_id, event.command)

    def service_lost(self, event: ServiceRequested, why: str) -> None:
        """Its data set will never be complete."""
        kind = message_dumps.message_type(event.command.field)
        log.error("%s Request from %s is not complete: %s", kind, self._serving.sender, why)

    def service_answered(self, event: ServiceRequested, response: Response, *, with_data_set: bool) -> None:
        kind = message_dumps.message_type(event.command.field)
        if is_failure(response.status):
            self._log_refused(kind, event.request.sop_instance_uid, response.status, response.comment)
        log.info("Sending %s Response (%s)", kind, message_dumps.status_name(response.status))
        if self.logs_debug:
            status, comment = response.status, response.comment
            log.debug(message_dumps.response(event.context_id, event.command, status, comment, with_data_set))

    def command_refused(self, context_id: int, command: Command, status: int, comment: str) -> None:
        """`proto/` has answered the command with a failure."""
        with self._serving.instance(command.sop_instance_uid):
            self._command_refused(context_id, command, status, comment)

    def _command_refused(self, context_id: int, command: Command, status: int, comment: str) -> None:
        if status == Status.UNRECOGNIZED_OPERATION:
            log.error("cannot handle this kind of DIMSE command (0x%04x), we are a Storage SCP only", command.field)
        kind = message_dumps.message_type(command.field)
        self._log_refused(kind, command.sop_instance_uid, status, comment)
        self._dump_request(context_id, command)
        if self.logs_debug:
            log.info("Sending %s Response", kind)
            log.debug(message_dumps.response(context_id, command, status, comment))
        else:
            log.info("Sending %s Response (%s)", kind, message_dumps.status_name(status))

    def _log_refused(self, kind: str, sop_instance_uid: str, status: int, comment: str) -> None:
        which = f"{kind} {sop_instance_uid}" if sop_instance_uid else kind
        log.error("%s from %s: refused with status %04X: %s", which, self._serving.sender, status, comment)

    def _dump_request(self, context_id: int, command: Command) -> None:
        if self.logs_debug:
            log.debug(message_dumps.request(context_id, command))


def _syntaxes(request: AssociateRequest) -> Iterator[str]:
    for context in request.contexts:
        yield context.abstract_syntax
        yield from context.transfer_syntaxes


def nothing_acceptable(proposed: Sequence[ProposedContext]) -> str:
    """Why an association is rejected of which no context is accepted, and what would accept some of them."""
    return f"none of its presentation contexts is accepted: {shown(proposed)}; {_to_accept(proposed)}"


def _to_accept(contexts: Sequence[ProposedContext]) -> str:
    return "see -xf, -pm or [[contexts]] in --settings" if hint_for(contexts).toml else "no option accepts them"


def _refused_context(error: RemoteProtocolError, association: Association) -> str:
    """Which one, for a message on a context that was refused."""
    if not isinstance(error, ContextNotAcceptedError):
        return ""
    contexts = [context for context in association.proposed if context.context_id == error.context_id]
    return f": {shown(contexts)}" if contexts else ", nor proposed"


def _how_stored(outcome: Outcome) -> str:
    if outcome.dropped:
        return f"not stored, as another content of it is kept in {outcome.location}"
    told = f" with status {outcome.status:04X} ({outcome.comment})" if outcome.status else ""
    return f"stored in {outcome.location}{told}"


def _max_send_pdv(request: AssociateRequest) -> int:
    """DCMTK's figure: the peer's maximum PDU length, made even, minus the headers of PDU and PDV.

    0 or no maximum means DCMTK's largest PDU; a maximum without room for data means its smallest.
    """
    limit = min(request.user.max_length or 131072, 131072)
    if limit & 1:
        log.warning("ASSOC: PDV send length %d is odd (using %d)", limit, limit - 1)
    length = (limit & ~1) - 12
    if length < 12:
        log.warning("ASSOC: PDV send length %d (using default)", length)
        return 4084
    return length


def _log_hints(answer: negotiation.Answer, sender: str) -> None:
    """Log the settings that would accept the refused contexts."""
    unknown = (negotiation.ABSTRACT_SYNTAX_NOT_SUPPORTED, negotiation.TRANSFER_SYNTAXES_NOT_SUPPORTED)
    refused = [context for context, result in answer.refused if result in unknown]
    for line in log_lines(refused, sender) if refused else ():
        log.info("%s", line)
