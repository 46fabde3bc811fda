"""One association: joins the connection, the protocol core and the receiver, and keeps the deadlines.

The only place where bytes, messages and instances meet; each of the three knows nothing of the others.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from dcmrecv_core.api.errors import LocalProtocolError
from dcmrecv_core.api.model import Association, Reject, RejectReason, Summary
from dcmrecv_core.api.version import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dcmrecv_core.hooks.confinement import memory
from dcmrecv_core.net.connection import LINGER, PATIENCE, Connection
from dcmrecv_core.net.handover import Handover
from dcmrecv_core.net.worker import association_log as narration
from dcmrecv_core.net.worker.association_log import Narrator
from dcmrecv_core.net.worker.caches import LONGEST, ByIdentity, Proposals
from dcmrecv_core.net.worker.space import FreeSpace
from dcmrecv_core.proto import events, negotiation
from dcmrecv_core.proto.acceptor import Acceptor
from dcmrecv_core.proto.associate import AssociateRequest, decode_associate_rq
from dcmrecv_core.proto.dimse import CommandField
from dcmrecv_core.proto.pdu import Rejection
from dcmrecv_core.settings.contexts import unasked

if TYPE_CHECKING:
    from dcmrecv_core.hooks.plugins import Plugins
    from dcmrecv_core.receive.pipeline import InstanceReceiver, Outcome, Reception
    from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("dcmrecv.net")

RECEIVE_BUFFER = 1 << 20
MAX_PENDING_OUTPUT = 1 << 20
"""Responses that a peer that only sends may leave unread: some thousands of instances."""

_NO_ACCEPTABLE_CONTEXT = Rejection(1, 1, 1)
_CONGESTION = Rejection(2, 3, 1)


class Shared:
    """What all sessions of a worker use one after the other: buffers, caches, plugins."""

    def __init__(
        self, settings: Settings, plugins: Plugins, receiver: InstanceReceiver, should_stop: Callable[[bool], bool]
    ) -> None:
        self.settings = settings
        self.plugins = plugins
        self.receiver = receiver
        self.should_stop = should_stop
        self.narrator = Narrator(settings)
        self.memory = bytearray(RECEIVE_BUFFER)
        self.space = FreeSpace(receiver.publisher.directories.full_path, settings.min_free)
        self.fallback = unasked(stores=plugins.names_storage())
        self.proposals = Proposals()
        self.proposed_contexts = ByIdentity(negotiation.proposed_contexts)
        self.negotiate = ByIdentity(negotiation.negotiate)

    def decode(self, body: bytes) -> AssociateRequest:
        """Decode a request; what it proposes may be known already."""
        if len(body) > LONGEST:  # what is kept of such takes megabytes each: of one at a time only
            self.proposed_contexts.forget()
            self.negotiate.forget()
        return decode_associate_rq(body, self.proposals.decode)


class Session:
    """Runs one association from its request to the end of its connection."""

    def __init__(self, connection: Connection, handover: Handover, shared: Shared) -> None:
        self._connection = connection
        self._handover = handover
        self._shared = shared
        self._patience = shared.settings.progress_timeout
        self._narrator = shared.narrator
        self._acceptor = Acceptor(
            shared.memory,
            max_pdu=shared.settings.max_pdu,
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version_name=IMPLEMENTATION_VERSION_NAME,
            strict=shared.settings.strict,
            decode=shared.decode,
        )
        self._association: Association | None = None
        self._store: events.StoreRequested | None = None
        self._reception: Reception | None = None
        self._had_begun = False  # something of a request that is collected, before the last receive
        self._output = bytearray()
        self._stored = self._refused = self._discarded = self._bytes = 0
        self._quiet_since: float | None = None  # since when the peer has neither sent nor taken a byte
        self._ended = ""  # how, as in Summary
        self._handlers: dict[type, Callable[..., None]] = {
            events.DataReceived: self._on_data,
            events.StoreRequested: self._on_store,
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
        started = time.monotonic()
        try:
            self._narrator.request_bytes(self._handover.request)
            self._acceptor.receive_request(self._handover.request)
            self._serve()
        except OSError as error:
            self._take_what_came()
            self._drop_reception(narration.PEER_GONE)
            self._narrator.closed(self._handover, f"lost: {error.strerror or error}")
            self._ended = "closed"
        except Exception as error:
            memory.release(error)
            log.critical("internal error in an association with %s", self._handover.address, exc_info=True)
            self._abort("failed", "internal error")
            self._send()
            self._acceptor.artim_expired()  # it may be the one that is broken: nothing more is heard
        finally:
            self._drop_reception()
            self._shared.receiver.publisher.idle()
            seconds = time.monotonic() - started
            if self._association is not None:
                self._narrator.ended()
            self._close()
        if self._association is not None:
            self._shared.plugins.association_ended(
                self._association,
                Summary(
                    self._stored,
                    self._refused,
                    self._discarded,
                    self._bytes,
                    seconds,
                    self._ended,
                ),
            )

    # The loop

    def _serve(self) -> None:
        acceptor = self._acceptor
        while not self._ended:
            event = acceptor.next_event()
            if event is not None:
                self._handlers[type(event)](event)
                continue
            self._send()
            if self._ended:
                break
            self._had_begun = acceptor.collecting
            if self._shared.should_stop(self._reception is None and not self._had_begun):
                self._stop()
            else:
                self._receive()
        self._send()
        if self._ended in ("released", "closed"):  # it may have closed its side only, and read the responses now
            self._flush()

    def _take_what_came(self) -> None:
        """Of a request that is not complete and will not be: who is to hear of it hears of it."""
        self._had_begun = True
        self._acceptor.read_piecemeal()
        try:
            while (event := self._acceptor.next_event()) is not None:
                self._handlers[type(event)](event)
        except Exception as error:
            memory.release(error)
            log.error("%s: cannot read what came before the end: %s", self._handover.address, error)

    def _close(self) -> None:
        """Let the peer close first. One that asks again or talks nonsense meanwhile is told so (PS3.8 action AA-7)."""
        if not self._acceptor.artim:
            self._connection.finish()
            return
        with suppress(OSError):
            self._await_close(time.monotonic() + LINGER)
        self._connection.finish(0)

    def _await_close(self, deadline: float) -> None:
        acceptor, connection = self._acceptor, self._connection
        while acceptor.artim:
            while acceptor.next_event() is not None:
                continue  # of the time before the end
            self._send()
            left = deadline - time.monotonic()
            if left <= 0 or not connection.wait_readable(left):
                acceptor.artim_expired()
            elif count := connection.receive_into(acceptor.get_buffer()):
                acceptor.buffer_updated(count)
            elif count == 0:
                acceptor.receive_eof()

    def _receive(self) -> None:
        """Wait for bytes, at most until something else has to be looked at."""
        if self._output:
            readable, writable = self._connection.wait()
            if not readable:
                if not writable:
                    self._on_quiet()
                return
        if self._acceptor.mid_message:
            self._connection.acknowledge()
        count = self._connection.receive_into(self._acceptor.get_buffer())
        if count is None:
            self._on_quiet()
        elif count:
            self._quiet_since = None
            self._acceptor.buffer_updated(count)
        else:
            self._acceptor.receive_eof()

    def _on_quiet(self) -> None:
        """Nothing has come or gone for PATIENCE seconds, once more."""
        now = time.monotonic()
        if self._quiet_since is None:
            self._quiet_since = now - PATIENCE
        if self._acceptor.collecting:
            self._acceptor.read_piecemeal()
            return
        quiet = now - self._quiet_since
        limit = self._shared.settings.dimse_timeout
        if limit is not None and quiet >= limit:
            self._abort("failed", f"nothing received for {limit} s (--dimse-timeout)", narration.NO_DATA)
        elif quiet >= self._patience and (self._acceptor.mid_message or self._output):
            self._abort("failed", f"no progress for {self._patience} s inside a message")
        elif self._shared.should_stop(self._reception is None):
            self._stop()

    def _send(self) -> None:
        """Send what can be sent without waiting: a peer that pipelines may not read before all its requests are out."""
        output = self._output
        output += self._acceptor.data_to_send()
        while output and self._send_some():
            self._quiet_since = None
        if len(output) > MAX_PENDING_OUTPUT and not self._ended and not self._flush():
            self._abort("failed", "it takes no responses")

    def _send_some(self) -> bool:
        try:
            count = self._connection.send(self._output)
        except OSError:
            # the peer is gone; what it said before that may hold complete instances, and the end comes behind them
            self._output.clear()
            return False
        del self._output[:count]
        return bool(count)

    def _flush(self) -> bool:
        """Send all, waiting for the peer to read; false if it took nothing for too long."""
        deadline = time.monotonic() + self._patience
        while self._output:
            if self._send_some():
                deadline = time.monotonic() + self._patience
            elif time.monotonic() > deadline or self._shared.should_stop(False):
                return False
            else:
                self._connection.wait_writable()
        return True

    def _stop(self) -> None:
        self._abort("stopped", "the receiver is told to end")

    def _abort(self, ended: str, why: str, lost: str = narration.NOT_RECEIVED) -> None:
        if self._acceptor.collecting:
            self._take_what_came()
        log.warning("aborting association with %s: %s", self._handover.address, why)
        self._ended = ended
        self._drop_reception(lost)
        self._acceptor.abort()

    def _drop_reception(self, why: str = narration.NOT_RECEIVED) -> None:
        if self._reception is not None and self._store is not None:
            self._reception.discard()
            self._narrator.data_set_lost(self._store, why)
            self._reception = self._store = None

    # Association

    def _on_associate(self, event: events.AssociateRequested) -> None:
        request = event.request
        if self._shared.space.is_low():
            self._narrator.requested(self._handover, request)
            self._reject(_CONGESTION, "temporary congestion")
            return
        user = request.user
        proposed = self._shared.proposed_contexts(request.contexts, user.roles, user.extended)
        association = self._association = Association(
            calling_ae_title=request.calling_ae_title,
            called_ae_title=request.called_ae_title,
            peer_address=self._handover.address,
            peer_port=self._handover.port,
            id=secrets.token_hex(8),
            proposed=proposed,
            user_identity=user.user_identity,
            tls=self._connection.peer_subject,
        )
        self._narrator.requested(self._handover, request)
        supported = self._shared.plugins.negotiate(association)
        if isinstance(supported, Reject):
            source, reason = supported.reason.value
            self._reject(Rejection(2 if supported.transient else 1, source, reason), supported.reason.name.lower())
            return
        if supported is None:
            supported = self._shared.fallback
        answer = self._shared.negotiate(proposed, supported)
        self._narrator.negotiated(answer)
        if not answer.accepted:
            self._narrator.nothing_acceptable(request, answer, supported)
            self._reject(_NO_ACCEPTABLE_CONTEXT, "no acceptable presentation contexts")
            return
        identity = user.user_identity
        try:
            self._acceptor.accept(answer, identity_response=b"" if identity and identity.response_requested else None)
        except LocalProtocolError as error:  # each answer of a plugin fits, all together do not
            log.error("%s", error)
            self._reject(Rejection(2, *RejectReason.NO_REASON.value), "the answer does not fit")
            return
        self._narrator.acknowledged(request, answer, supported)

    def _reject(self, rejection: Rejection, why: str) -> None:
        self._narrator.refused(why.replace("_", " "), rejection)
        self._ended = "rejected"
        self._acceptor.reject(rejection)

    def _on_rejected(self, event: events.Rejected) -> None:
        self._narrator.refused_by_protocol(self._handover, event.request, event.rejection)
        self._ended = "rejected"

    def _on_released(self, event: events.Released) -> None:
        self._drop_reception(narration.PEER_RELEASES)
        self._narrator.released()
        self._ended = "released"

    def _on_aborted(self, event: events.Aborted) -> None:
        self._drop_reception(narration.PEER_GONE)
        self._narrator.aborted(event.source, event.reason)
        self._ended = "aborted"

    def _on_closed(self, event: events.Closed) -> None:
        self._drop_reception(narration.PEER_GONE)
        self._narrator.closed(self._handover, "closed" + " within a message" * event.mid_message)
        self._ended = "closed"

    def _on_failed(self, event: events.Failed) -> None:
        self._drop_reception()
        self._narrator.failed(self._handover, event.error, requesting=self._association is None)
        self._ended = "failed"

    def _on_notice(self, event: events.Notice) -> None:
        log.warning("%s: %s", self._handover.address, event.text)

    # Messages

    def _on_echo(self, event: events.EchoRequested) -> None:
        narrator = self._narrator
        if narrator.informs:
            narrator.echo(event.context_id, event.command)
        self._acceptor.respond(event.context_id, event.command, 0)

    def _on_refused(self, event: events.CommandRefused) -> None:
        self._narrator.command_refused(*event)
        self._refused += event.command.field == CommandField.C_STORE_RQ

    def _on_store(self, event: events.StoreRequested) -> None:
        if not self._had_begun and self._shared.should_stop(True):  # a peer that pipelines leaves no quiet moment
            self._stop()
        self._had_begun = False
        if self._association is None or self._ended:
            return
        command = event.command
        if self._narrator.informs:
            self._narrator.store_received(command)
        self._store = event
        self._reception = self._shared.receiver.begin(
            self._association, command.sop_class_uid, command.sop_instance_uid, event.transfer_syntax
        )

    def _on_data(self, event: events.DataReceived) -> None:
        if self._reception is None or self._store is None:
            return
        narrator = self._narrator
        if narrator.debugs:
            narrator.data_received(self._store, event)
        self._reception.write(event.fragments, last=event.last)
        if event.last:
            size = self._reception.size
            self._bytes += size
            outcome = self._reception.finish()
            store, self._store, self._reception = self._store, None, None
            self._count(outcome)
            if narrator.informs or outcome.status == narration.CANNOT_UNDERSTAND:
                narrator.store_answered(store, outcome, size)
            self._acceptor.respond(store.context_id, store.command, outcome.status, outcome.comment, outcome.elements)
            self._send()
            if self._stored > 1:  # a series, it seems
                self._shared.receiver.publisher.open_spare()

    def _count(self, outcome: Outcome) -> None:
        if outcome.location is not None:
            self._stored += 1
        elif outcome.discarded:
            self._discarded += 1
        else:
            self._refused += 1
