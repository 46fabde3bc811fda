"""Runs an Acceptor as the session does, and records what happens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dcmrecv_core.api.verdicts import SupportedContext
from dcmrecv_core.proto import events, negotiation
from dcmrecv_core.proto.acceptor import Acceptor
from support.protocol import pdus
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, VERIFICATION

SUPPORTED = (
    SupportedContext(VERIFICATION, (IMPLICIT_LE,)),
    SupportedContext(CT, (EXPLICIT_LE, IMPLICIT_LE)),
)
"""Of the contexts that `pdus.request` proposes, 1 (Verification) and 3 (CT) are accepted, 5 (MR) is not."""


def make(size: int = 1 << 16, *, max_pdu: int = 16384, strict: bool = False) -> Acceptor:
    return Acceptor(
        bytearray(size),
        max_pdu=max_pdu,
        strict=strict,
        implementation_class_uid="1.2.3",
        implementation_version_name="TEST",
    )


def taken(acceptor: Acceptor) -> bytes:
    """What is queued for the peer, which takes all of it."""
    data = bytes(acceptor.output)
    acceptor.output.clear()
    return data


class Run:
    """One association: `log` is the transcript of events, data sets put together, `sent` all answers."""

    def __init__(
        self,
        size: int = 1 << 16,
        *,
        max_pdu: int = 16384,
        strict: bool = False,
        supported: Sequence[SupportedContext] = SUPPORTED,
        status: int = 0,
    ) -> None:
        self.acceptor = make(size, max_pdu=max_pdu, strict=strict)
        self.log: list[tuple[Any, ...]] = []
        self.sent = b""
        self._supported = supported
        self._status = status
        self._store: events.StoreRequested | None = None
        self._data = b""

    def feed(self, data: bytes) -> None:
        """Give it `data` in receives as large as the buffer allows."""
        while data:
            free = self.acceptor.get_buffer()
            assert len(free)
            part, data = data[: len(free)], data[len(free) :]
            free[: len(part)] = part
            self.acceptor.buffer_updated(len(part))
            self.drain()

    def feed_all(self, parts: Iterable[bytes]) -> Run:
        for part in parts:
            self.feed(part)
        return self

    def eof(self) -> Run:
        self.acceptor.receive_eof()
        self.drain()
        return self

    def drain(self) -> None:
        while (event := self.acceptor.next_event()) is not None:
            self._take(event)
            self.sent += taken(self.acceptor)
        self.sent += taken(self.acceptor)

    def _take(self, event: events.Event) -> None:
        match event:
            case events.AssociateRequested(request):
                self.log.append(("requested", request.calling_ae_title, request.called_ae_title))
                user = request.user
                proposed = negotiation.proposed_contexts(request.contexts, user.roles, user.extended)
                self.acceptor.accept(negotiation.negotiate(proposed, self._supported))
            case events.EchoRequested(context_id, command):
                self.log.append(("echo", context_id, command.message_id))
                self.acceptor.respond(context_id, command, 0)
            case events.StoreRequested(context_id, command, _, transfer_syntax):
                self._store, self._data = event, b""
                uids = (command.sop_class_uid, command.sop_instance_uid)
                self.log.append(("store", context_id, command.message_id, *uids, transfer_syntax))
            case events.DataReceived(fragments, last):
                assert self._store is not None and (fragments or last)
                self._data += b"".join(fragments)
                if last:
                    self.log.append(("data", self._data))
                    self.acceptor.respond(self._store.context_id, self._store.command, self._status)
                    self._store = None
            case events.CommandRefused(context_id, command, status, _):
                self.log.append(("refused", context_id, command.message_id, status))
            case events.Failed(error):
                self.log.append(("failed", error.source, error.reason))
            case _:
                self.log.append((type(event).__name__.lower(), *event))

    @property
    def outcome(self) -> tuple[Any, ...]:
        return self.log, self.sent, self.acceptor.state, self.acceptor.artim

    @property
    def answers(self) -> bytes:
        """What was sent after the A-ASSOCIATE-AC, the first PDU."""
        return self.sent[6 + int.from_bytes(self.sent[2:6], "big") :]


def run(stream: bytes, *, tail: bytes | None = pdus.echo(99), **options: Any) -> Run:
    """`stream` fed whole, byte by byte, and with `tail` after it in the same receive; the results must be the same."""
    whole = Run(**options).feed_all([stream])
    single = Run(**{"size": 16, **options}).feed_all(stream[i : i + 1] for i in range(len(stream)))
    assert single.outcome == whole.outcome
    if tail is not None:
        tailed = Run(**options).feed_all([stream + tail])
        assert tailed.log[: len(whole.log)] == whole.log
        assert tailed.sent[: len(whole.sent)] == whole.sent
    return whole


def established(stream: bytes = b"", **options: Any) -> Run:
    """`run` of `stream` after an accepted request; `log` without that request."""
    done = run(pdus.request() + stream, **options)
    assert done.log.pop(0) == ("requested", "RAWSCU", "ANY")
    return done
