"""One association: joins the connection, `proto/` and `receive/`, and keeps the deadlines.

Only here do bytes, messages and instances meet; the modules for each know nothing of the others.
"""

from __future__ import annotations

import logging
import operator
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from dcmrecv_core.api.errors import LocalProtocolError
from dcmrecv_core.api.model import Association, ProposedContext
from dcmrecv_core.api.outcomes import Ended, Summary
from dcmrecv_core.api.verdicts import Reject, RejectReason, SupportedContext
from dcmrecv_core.api.version import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dcmrecv_core.counters.slot import DISCARDED, ECHOES, REFUSED, STORED
from dcmrecv_core.logs.serving import Serving
from dcmrecv_core.net.admission import Activity, AdmissionTable, Slot
from dcmrecv_core.net.connection import CALL_TIMEOUT, LINGER, Connection
from dcmrecv_core.net.handover import Handover
from dcmrecv_core.net.worker.association_log import (
    CANNOT_UNDERSTAND,
    NOT_RECEIVED,
    PEER_GONE,
    PEER_RELEASES,
    AssociationLog,
    nothing_acceptable,
)
from dcmrecv_core.net.worker.caches import MAX_CACHED_REQUEST, IdentityCache, ProposalCache
from dcmrecv_core.net.worker.counting import RefusalCounting
from dcmrecv_core.net.worker.deadlines import PeerDeadlines
from dcmrecv_core.net.worker.service import Reports, ServiceReception
from dcmrecv_core.net.worker.space import FreeSpace
from dcmrecv_core.proto import events, negotiation
from dcmrecv_core.proto.acceptor import Acceptor
from dcmrecv_core.proto.associate import AssociateRequest, decode_associate_rq
from dcmrecv_core.proto.first_bytes import titles_of
from dcmrecv_core.proto.pdu import Rejection
from dcmrecv_core.settings.contexts import default_contexts

if TYPE_CHECKING:
    from dcmrecv_core.hooks.plugins import Plugins
    from dcmrecv_core.receive.pipeline import InstanceReceiver, Outcome, Reception
    from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("dcmrecv.net")

RECEIVE_BUFFER = 1 << 20
MAX_PENDING_OUTPUT = 1 << 20
"""Bytes of responses that a peer may leave unread while it sends: those to some thousands of instances."""

Contexts = tuple[SupportedContext, ...]

IDLE_NOTICE = 600.0
"""Seconds without a message after which an association is reported that no --dimse-timeout ends."""

_NO_ACCEPTABLE_CONTEXT = Rejection(1, 1, 1)
_CONGESTION = Rejection(2, 3, 1)


class Shared:
    """Buffers, caches and plugins that all sessions of a worker use, one session after the other."""

    def __init__(
        self,
        settings: Settings,
        plugins: Plugins,
        receiver: InstanceReceiver,
        should_stop: Callable[[bool], bool],
        slot: Slot | None = None,
        serving: Serving | None = None,
    ) -> None:
        self.serving = serving or Serving()
        self.slot = slot or AdmissionTable(1).take(0.0)[1]
        self.record = self.slot.record
        self.counters = self.slot.counters
        self.refusals = RefusalCounting(self.counters, self.serving)
        self.under_way = self.slot.under_way
        self.running: Session | None = None
        self.settings = settings
        self.plugins = plugins
        self.receiver = receiver
        self.should_stop = should_stop
        self.association_log = AssociationLog(settings, self.serving)
        self.memory = bytearray(RECEIVE_BUFFER)
        self.space = FreeSpace(receiver.publisher.directories.full_path, settings.min_free)
        self.fallback = default_contexts(stores=plugins.names_storage())
        self.proposals = ProposalCache()
        self.proposed_contexts = IdentityCache(negotiation.proposed_contexts)
        self.joined: IdentityCache[Contexts, Contexts, Contexts] = IdentityCache(operator.add)
        self.negotiate = IdentityCache(partial(negotiation.negotiate, preferred=settings.prefer))
        self.serves = plugins.implements("serve")
        self.tells_accepted = plugins.implements("association_accepted")

    def count_progress(self) -> None:
        """Called at each tick: if the worker is killed, the record has the counts of a second ago."""
        if self.running is not None:
            self.record.count(*self.running.counts)

    def decode(self, body: bytes) -> AssociateRequest:
        """Decode a request; its proposal may be in the cache."""
        if len(body) > MAX_CACHED_REQUEST:  # its results take megabytes: keep those of one request only
            self.proposed_contexts.clear()
            self.joined.clear()
            self.negotiate.clear()
        return decode_associate_rq(body, self.proposals.decode)


class Session:
    """Runs one association from its request to the end of its connection."""

    def __init__(self, connection: Connection, handover: Handover, shared: Shared) -> None:
        self._connection = connection
        self._handover = handover
        self._shared = shared
        self._progress_timeout = shared.settings.progress_timeout
        self._deadlines = PeerDeadlines(shared.settings, shared.slot)
        self._association_log = shared.association_log
        self._uid_under_way = shared.under_way.uid
        self._begin_instance = shared.under_way.begin_instance
        self._begin_reception = shared.receiver.begin
        self._count_instance = shared.counters.count_instance
        self._acceptor = Acceptor(
            shared.memory,
            max_pdu=shared.settings.max_pdu,
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version_name=IMPLEMENTATION_VERSION_NAME,
            strict=shared.settings.strict,
            serves=shared.serves,
            decode=shared.decode,
        )
        self._association: Association | None = None
        self._store: events.StoreRequested | None = None
        self._reception: Reception | None = None
        self._service: ServiceReception | None = None
        self._reports = Reports()
        self._output = self._acceptor.output
        self._started = self._store_began = 0.0
        self._stored = self._refused = self._discarded = self._bytes = 0
        self._ended: Ended | None = None
        self._how = ""  # it ended, in words
        self._idle_told = False
        self._unserved: tuple[ProposedContext, ...] = ()  # refused contexts, until the peer asks for anything
        self._handlers: dict[type, Callable[..., None]] = {
            events.DataReceived: self._on_data,
            events.StoreRequested: self._on_store,
            events.ServiceRequested: self._on_service,
            events.ReportAnswered: self._on_report_answered,
            events.EchoRequested: self._on_echo,
            events.CommandRefused: self._on_refused,
            events.Notice: self._on_notice,
            events.AssociateRequested: self._on_associate,
            events.Rejected: self._on_rejected,
            events.Released: self._on_released,
            events.Aborted: self._on_aborted,
            events.Closed: self._on_closed,
            events.Failed: self._on_failed,
        }

    def run(self) -> None:
        """Serve the association; returns when its connection is closed. An internal error ends this one only."""
        self._started = started = time.monotonic()
        self._shared.running = self
        self._shared.serving.begin(self._handover.address, self._sop_instance_uid)
        try:
            self._association_log.request_bytes(self._handover.request)
            self._acceptor.receive_request(self._handover.request)
            self._serve()
        except OSError as error:
            within = " within a message" * self._is_mid_message
            self._how = f"connection lost{within} ({error.strerror or error})"
            self._drop_reception(PEER_GONE)
            self._association_log.closed()
            self._ended = Ended.CLOSED
        except Exception as error:
            self._shared.plugins.limits.memory.release(error)
            sender = self._shared.serving.sender
            log.critical("internal error in an association with %s", sender, exc_info=True)
            self._abort(Ended.FAILED, "internal error")
            self._send()
            self._acceptor.artim_expired()  # it may be broken itself: read nothing more
        finally:
            self._shared.slot.become(Activity.ENDING)
            self._drop_reception()
            self._shared.receiver.publisher.idle()
            summary = Summary(*self.counts, time.monotonic() - started, self._ended or Ended.FAILED)
            self._shared.counters.end_association(summary.ended, started + summary.seconds)
            if self._association is not None:
                if self._ended is not Ended.REJECTED:
                    self._association_log.ended(self._how, summary)
                    if self._unserved and not any(self.counts):
                        self._association_log.sent_nothing(self._unserved)
                self._association_log.terminated()
            self._close()
            self._shared.running = None
            self._shared.record.close()
        if self._association is not None:
            self._shared.plugins.association_ended(self._association, summary)

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Instances stored, refused, discarded; bytes of data sets."""
        return self._stored, self._refused, self._discarded, self._bytes

    @property
    def _is_mid_message(self) -> bool:
        return self._acceptor.mid_message or self._reception is not None or self._service is not None

    def _sop_instance_uid(self) -> str:
        """That of the C-STORE under way."""
        return "" if self._store is None else self._store.command.sop_instance_uid

    # The loop

    def _serve(self) -> None:
        acceptor = self._acceptor
        while not self._ended:
            event = acceptor.next_event()
            if event is not None:
                self._handlers[type(event)](event)
                continue
            if self._output:
                self._send()
                if self._ended:
                    break
            if self._shared.should_stop(self._reception is None and self._service is None):
                self._stop()
            else:
                self._receive()
        self._send()
        if self._ended in (
            Ended.RELEASED,
            Ended.CLOSED,
        ):  # the peer may have closed its sending side only, and read the responses now
            self._flush()

    def _close(self) -> None:
        """Let the peer close first; until then another request or an invalid PDU gets an A-ABORT (PS3.8 AA-7)."""
        if not self._acceptor.artim:
            self._connection.finish()
            return
        with suppress(OSError):
            self._await_close(time.monotonic() + LINGER)
        self._connection.finish(0)

    def _await_close(self, deadline: float) -> None:
        acceptor, connection = self._acceptor, self._connection
        while acceptor.artim:
            before = len(self._output)
            while acceptor.next_event() is not None:
                continue  # events of before the end
            if len(self._output) > before:
                self._association_log.more_after_end()
            self._send()
            left = deadline - time.monotonic()
            if left <= 0 or not connection.wait_readable(left):
                acceptor.artim_expired()
            elif count := connection.receive_into(acceptor.get_buffer()):
                acceptor.buffer_updated(count)
            elif count == 0:
                acceptor.receive_eof()

    def _receive(self) -> None:
        """Read, waiting at most `CALL_TIMEOUT`."""
        if self._output and not self._wait_for_peer():
            return
        if self._acceptor.mid_message:
            count = self._receive_inside()
        else:
            count = self._connection.receive_into(self._acceptor.get_buffer())
        if count is None:
            self._on_quiet()
        elif count:
            if self._deadlines.quiet_since is not None:
                self._deadlines.end_of_quiet()
            self._acceptor.buffer_updated(count)
        else:
            self._acceptor.receive_eof()

    def _wait_for_peer(self) -> bool:
        """While it leaves responses unread: wait until it reads or sends; returns whether it has sent something."""
        began = time.monotonic()
        readable, writable = self._connection.wait()
        self._deadlines.after_wait_inside(time.monotonic() - began, 0)
        if writable:
            self._deadlines.quiet_since = None
        elif not readable:
            self._on_quiet()
        return readable

    def _receive_inside(self) -> int | None:
        """Read inside a message, where the peer must not be too slow."""
        connection = self._connection
        connection.acknowledge()
        before = connection.waited
        count = connection.receive_into(self._acceptor.get_buffer())
        if exceeded := self._deadlines.after_wait_inside(connection.waited - before, count or 0):
            self._abort(Ended.FAILED, *exceeded)
        return count

    def _on_quiet(self) -> None:
        """For another CALL_TIMEOUT seconds nothing was received or sent."""
        deadlines, connection, now = self._deadlines, self._connection, time.monotonic()
        if deadlines.quiet_since is None:
            deadlines.quiet_since = now - CALL_TIMEOUT
        inside = bool(self._acceptor.mid_message or self._output)
        if exceeded := deadlines.after_quiet(now, inside=inside):
            self._abort(Ended.FAILED, *exceeded)
        elif self._shared.should_stop(self._reception is None and self._service is None):
            self._stop()
        elif not inside and (exceeded := deadlines.eviction(now)) and not connection.wait_readable(0):
            self._abort(Ended.FAILED, *exceeded)
        else:
            self._tell_idle(now - deadlines.quiet_since)

    def _tell_idle(self, quiet: float) -> None:
        """Say once of a peer without a message that nothing ends its association."""
        if quiet >= IDLE_NOTICE and self._shared.settings.dimse_timeout is None and not self._idle_told:
            self._idle_told = True
            self._association_log.idle(quiet)

    def _send(self) -> None:
        """Send without waiting: a peer that pipelines may read nothing before it has sent all its requests."""
        output = self._output
        while output and self._send_some():
            continue
        if len(output) > MAX_PENDING_OUTPUT and not self._ended and not self._flush():
            self._abort(Ended.FAILED, "the peer does not read our responses")

    def _send_some(self) -> bool:
        try:
            count = self._connection.send(self._output)
        except OSError:
            # the connection has ended; complete instances may still be unread, and the end follows them
            self._output.clear()
            return False
        del self._output[:count]
        return bool(count)

    def _flush(self) -> bool:
        """Send all, waiting for the peer to read; False if it reads nothing for too long."""
        deadline = time.monotonic() + self._progress_timeout
        while self._output:
            if self._send_some():
                deadline = time.monotonic() + self._progress_timeout
            elif time.monotonic() > deadline or self._shared.should_stop(False):
                return False
            else:
                self._connection.wait_writable()
        return True

    def _stop(self) -> None:
        if self._shared.plugins.limits.descriptors.is_useless:
            self._abort(Ended.FAILED, "no file descriptor is free")
        else:
            self._abort(Ended.STOPPED, "the receiver is told to end")

    def _abort(self, ended: Ended, why: str, lost: str = NOT_RECEIVED) -> None:
        self._association_log.aborting(why)
        self._ended = ended
        self._how = f"aborted by us ({why})"
        self._drop_reception(lost)
        self._acceptor.abort()

    def _drop_reception(self, why: str = NOT_RECEIVED) -> None:
        if self._service is not None:
            self._association_log.service_lost(self._service.event, why)
            self._service = None
        if self._reception is not None and self._store is not None:
            size = self._reception.size + self._acceptor.read_rest()
            self._unserved = ()
            self._reception.discard()
            self._association_log.data_set_lost(self._store, why, self._how, size)
            self._reception = self._store = None
            self._uid_under_way[0] = 0

    # Association

    def _on_associate(self, event: events.AssociateRequested) -> None:
        request = event.request
        titles = request.calling_ae_title, request.called_ae_title
        self._shared.serving.request(*titles)
        if self._shared.space.is_low():
            self._association_log.requested(self._handover, request)
            self._reject(_CONGESTION, "temporary congestion", self._shared.space.shortage)
            return
        user = request.user
        proposed = self._shared.proposed_contexts(request.contexts, user.roles, user.extended)
        association = self._association = Association(
            calling_ae_title=titles[0],
            called_ae_title=titles[1],
            peer_address=self._handover.address,
            peer_port=self._handover.port,
            id=secrets.token_hex(8),
            proposed=proposed,
            user_identity=user.user_identity,
            tls=self._connection.peer_subject,
            implementation_class_uid=user.implementation_class_uid,
            implementation_version_name=user.implementation_version_name,
        )
        self._shared.serving.request(*titles, association.id)
        self._shared.record.open(association, self._started)
        self._shared.under_way.begin_association(association.calling_ae_title)
        self._association_log.requested(self._handover, request)
        said = self._shared.plugins.negotiate(association)
        if isinstance(said, Reject):
            source, reason = said.reason.value
            by = self._shared.plugins.rejected_by
            why = said.reason.name.lower().replace("_", " ")
            cause = f"by plugin {by}: see its options" if by else "because a plugin failed"
            detail = f"{why.replace(' ae ', ' AE ')}, {cause}"
            self._reject(Rejection(2 if said.transient else 1, source, reason), why, detail, said=not by)
            return
        supported = self._shared.fallback if said.contexts is None else said.contexts
        if said.also:
            supported = self._shared.joined(supported, said.also)
        answer = self._shared.negotiate(proposed, supported)
        self._association_log.negotiated(answer)
        if not answer.accepted:
            self._association_log.nothing_acceptable(request, answer, supported)
            self._reject(_NO_ACCEPTABLE_CONTEXT, "no acceptable presentation contexts", nothing_acceptable(proposed))
            return
        asks = user.user_identity is not None and user.user_identity.response_requested
        try:
            self._acceptor.accept(answer, identity_response=(said.identity_response or b"") if asks else None)
        except LocalProtocolError as error:  # each plugin's answer fits, all together do not
            detail = f"what the plugins answer together does not fit into an A-ASSOCIATE-AC: {error}"
            self._reject(Rejection(2, *RejectReason.NO_REASON.value), "the answer does not fit", detail)
            return
        is_tls = self._handover.tls_deadline is not None
        self._shared.counters.begin_association(association, self._started, tls=is_tls)
        self._association_log.acknowledged(request, answer, supported)
        self._unserved = tuple(context for context, _ in answer.refused)
        if self._shared.tells_accepted:
            self._send()
            self._shared.plugins.association_accepted(association)

    def _reject(self, rejection: Rejection, why: str, detail: str, *, said: bool = False) -> None:
        self._association_log.refused(why, rejection, detail, said=said)
        self._shared.refusals.association(rejection, why, detail)
        self._ended = Ended.REJECTED
        self._acceptor.reject(rejection)

    def _on_rejected(self, event: events.Rejected) -> None:
        request = event.request
        self._shared.serving.request(request.calling_ae_title, request.called_ae_title)
        self._association_log.refused_by_protocol(self._handover, event.request, event.rejection)
        self._shared.refusals.association(event.rejection, "another version or application context", "")
        self._ended = Ended.REJECTED

    def _on_released(self, event: events.Released) -> None:
        self._how = "released" + " within a message" * event.mid_message
        self._drop_reception(PEER_RELEASES)
        self._association_log.released()
        self._ended = Ended.RELEASED

    def _on_aborted(self, event: events.Aborted) -> None:
        within = " within a message" * self._is_mid_message
        self._how = f"aborted by the peer{within} (source {event.source}, reason {event.reason})"
        self._drop_reception(PEER_GONE)
        self._association_log.aborted(event.source, event.reason)
        self._ended = Ended.ABORTED

    def _on_closed(self, event: events.Closed) -> None:
        self._how = "connection closed by the peer" + " within a message" * event.mid_message
        self._drop_reception(PEER_GONE)
        self._association_log.closed()
        self._ended = Ended.CLOSED

    def _on_failed(self, event: events.Failed) -> None:
        self._unserved = ()
        self._how = f"aborted by us ({event.error})"
        self._drop_reception()
        if self._association is None:
            self._shared.serving.request(*titles_of(self._handover.request))
        self._association_log.failed(event.error, self._association)
        self._ended = Ended.FAILED

    def _on_notice(self, event: events.Notice) -> None:
        uid = self._sop_instance_uid()
        log.warning("%s%s: %s", self._shared.serving.sender, uid and f", SOP instance {uid}", event.text)

    # Messages

    def _on_echo(self, event: events.EchoRequested) -> None:
        self._unserved = ()
        association_log = self._association_log
        if association_log.logs_info:
            association_log.echo(event.context_id, event.command)
        self._shared.counters.count(ECHOES)
        self._acceptor.respond(event.context_id, event.command, 0)

    def _on_refused(self, event: events.CommandRefused) -> None:
        self._unserved = ()
        self._association_log.command_refused(*event)
        self._refused += self._shared.refusals.command(event)

    def _on_store(self, event: events.StoreRequested) -> None:
        if self._shared.should_stop(True):  # a peer that pipelines is never quiet
            self._stop()
        if self._association is None or self._ended:
            return
        command = event.command
        self._store = event
        self._store_began = time.monotonic()
        if self._association_log.logs_info:
            self._association_log.store_received(command)
        sop_instance_uid = command.sop_instance_uid
        self._begin_instance(sop_instance_uid.encode())
        self._reception = self._begin_reception(
            self._association,
            command.sop_class_uid,
            sop_instance_uid,
            event.transfer_syntax,
            command.message_id,
            command.originator if command.move_originator else None,
        )

    def _on_data(self, event: events.DataReceived) -> None:
        reception, store = self._reception, self._store
        if reception is None or store is None:
            self._on_service_data(event)
            return
        association_log = self._association_log
        if association_log.logs_debug:
            association_log.data_received(store, event)
        reception.write(event.fragments, last=event.last)
        if event.last:
            size = reception.size
            self._bytes += size
            outcome = reception.finish()
            self._reception = None
            self._uid_under_way[0] = 0
            self._count_instance(self._count(outcome), size, self._store_began)
            if association_log.logs_info or outcome.status == CANNOT_UNDERSTAND:
                association_log.store_answered(store, outcome, size)
            self._store = None
            self._acceptor.respond(store.context_id, store.command, outcome.status, outcome.comment, outcome.elements)
            self._send()
            if self._stored > 1:  # probably a series
                self._shared.receiver.publisher.open_spare()

    def _on_service(self, event: events.ServiceRequested) -> None:
        self._unserved = ()
        if self._shared.should_stop(True):
            self._stop()
        if self._association is None or self._ended:
            return
        if self._association_log.logs_info:
            self._association_log.service_received(event)
        self._service = ServiceReception(event, self._association, self._shared.plugins)
        if not event.command.has_data_set:
            self._answer_service(self._service)

    def _on_service_data(self, event: events.DataReceived) -> None:
        if self._service is not None:
            self._service.write(event.fragments)
            if event.last:
                self._answer_service(self._service)

    def _answer_service(self, service: ServiceReception) -> None:
        self._service = None
        response, data_set, elements, report = service.finish()
        event = service.event
        self._association_log.service_answered(event, response, with_data_set=data_set is not None)
        self._acceptor.respond_to_service(event.context_id, event.request, response, data_set, elements)
        if response.report is not None:
            log.info("Sending N-EVENT-REPORT Request")
            message_id = self._reports.begin(response.report)
            self._acceptor.report(event.context_id, message_id, response.report, report)
        self._send()

    def _on_report_answered(self, event: events.ReportAnswered) -> None:
        self._reports.answered(*event, self._shared.serving.sender)

    def _count(self, outcome: Outcome) -> int:
        if outcome.location is not None and not outcome.dropped:
            self._stored += 1
            return STORED
        if outcome.dropped or outcome.discarded:
            self._discarded += 1
            return DISCARDED
        self._refused += 1
        self._shared.refusals.instance(outcome)
        return REFUSED
