"""The protocol core under any sequence of actions of a peer and a caller."""

from __future__ import annotations

import gc
import types
from contextlib import suppress
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dcmrecv_core.api.errors import LocalProtocolError
from dcmrecv_core.proto import events, negotiation
from dcmrecv_core.proto.acceptor import Acceptor
from dcmrecv_core.proto.associate import AssociateRequest
from dcmrecv_core.proto.pdu import Rejection
from dcmrecv_core.proto.states import TRANSITIONS, State
from support.protocol import pdus
from support.protocol.acceptor_runs import SUPPORTED, make, taken
from support.protocol.pdus import application_context
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, MR, VERIFICATION

MOST_HELD = 67_000
"""Bytes that may be held besides the receive buffer: a command set (64 KiB), or a request of this machine, decoded."""

REACHABLE = {state: {state} for state in State}
for _ in State:
    for (state, _event), (_action, following) in TRANSITIONS.items():
        REACHABLE[state] |= REACHABLE[following]

SMALL = st.binary(max_size=40)
CONTEXT_IDS = st.sampled_from([0, 1, 3, 5, 255])
ELEMENTS = st.dictionaries(
    st.sampled_from([0x0002, 0x0100, 0x0110, 0x0120, 0x0700, 0x0800, 0x0900, 0x1000, 0x1030, 0x4000]),
    st.one_of(st.sampled_from([0x0000, 0x0001, 0x0030, 0x0101, 0x0FFF, 0x8001, CT, VERIFICATION, "1.2.3"]), SMALL),
    max_size=8,
)
COMMANDS = st.one_of(
    ELEMENTS.map(pdus.command_set),
    st.sampled_from([pdus.command_set(pdus.STORE_RQ), pdus.command_set(pdus.ECHO_RQ)]),
)
REQUESTS = st.builds(
    pdus.request,
    contexts=st.lists(
        st.builds(
            lambda number, abstract, transfer: pdus.context(number, abstract, *transfer),
            CONTEXT_IDS,
            st.sampled_from([None, "", VERIFICATION, CT, MR]),
            st.lists(st.sampled_from(["", IMPLICIT_LE, EXPLICIT_LE]), max_size=3),
        ),
        max_size=4,
    ),
    user=st.lists(st.builds(pdus.item, st.integers(0x50, 0x5A), SMALL) | st.sampled_from(pdus.USER), max_size=4),
    called=SMALL.map(lambda text: text[:16]),
    version=st.sampled_from([0, 1, 2, 3]),
    application=st.sampled_from([(), [application_context()], [application_context("1.2")]]),
)
BREAKING = st.one_of(
    st.builds(pdus.pdu, st.integers(0, 9), st.sampled_from([b"", bytes(4)]) | SMALL),
    st.builds(
        lambda kind, length: bytes([kind, 0]) + length.to_bytes(4, "big"),
        st.integers(0, 9),
        st.sampled_from([0, 5, 4097, 1 << 20, (1 << 20) + 1, 0xFFFFFFFF]),
    ),
    SMALL,
)


class AcceptorMachine(RuleBasedStateMachine):
    """Only LocalProtocolError is raised, for calls that are not allowed now."""

    def __init__(self) -> None:
        super().__init__()
        self.acceptor: Acceptor = make()
        self.states = [self.acceptor.state]
        self.sent = b""
        self.asked: AssociateRequest | None = None
        self.answerable: list[tuple[int, Any]] = []
        self.chunk = 1 << 16
        self.max_length = 0

    @initialize(
        size=st.sampled_from([16, 100, 1 << 16]),
        chunk=st.sampled_from([1, 7, 1000, 1 << 16]),
        strict=st.booleans(),
        established=st.booleans(),
    )
    def begin(self, size: int, chunk: int, strict: bool, established: bool) -> None:
        self.acceptor = make(size, max_pdu=4096, strict=strict)
        self.chunk = chunk
        if established:
            self._feed(pdus.request())
            self.accept()

    # The peer

    @precondition(lambda self: self.acceptor.state is State.STA2)
    @rule(request=st.sampled_from([pdus.request()]) | REQUESTS)
    def request(self, request: bytes) -> None:
        self._feed(request)

    @precondition(lambda self: self.acceptor.state is State.STA2)
    @rule(request=REQUESTS, cut=st.integers(0, 200))
    def request_read_by_another(self, request: bytes, cut: int) -> None:
        self._call(self.acceptor.receive_request, request[: len(request) - cut])

    @rule(number=CONTEXT_IDS, command=COMMANDS, data=st.none() | SMALL, control=st.sampled_from([0, 1, 2, 3]))
    def message(self, number: int, command: bytes, data: bytes | None, control: int) -> None:
        self._feed(pdus.pdu(pdus.P_DATA, pdus.pdv(number, 3, command)))
        if data is not None:
            self._feed(pdus.pdu(pdus.P_DATA, pdus.pdv(number, control, data)))

    @rule(number=CONTEXT_IDS)
    def endless_command(self, number: int) -> None:
        self._feed(17 * pdus.pdu(pdus.P_DATA, pdus.pdv(number, 1, bytes(4000))))

    @rule(number=CONTEXT_IDS, control=st.integers(0, 255), fragments=st.lists(SMALL, max_size=4))
    def fragments(self, number: int, control: int, fragments: list[bytes]) -> None:
        self._feed(pdus.pdu(pdus.P_DATA, b"".join(pdus.pdv(number, control, fragment) for fragment in fragments)))

    @rule(data=BREAKING)
    def breaks_the_protocol(self, data: bytes) -> None:
        self._feed(data)

    # The caller

    @precondition(lambda self: self.acceptor.state is State.STA3)
    @rule()
    def accept(self) -> None:
        if self.asked is not None:
            user = self.asked.user
            proposed = negotiation.proposed_contexts(self.asked.contexts, user.roles, user.extended)
            self._call(self.acceptor.accept, negotiation.negotiate(proposed, SUPPORTED))

    @rule(status=st.integers(0, 0xFFFF), comment=st.text(max_size=100))
    def respond(self, status: int, comment: str) -> None:
        if self.answerable:
            number, command = self.answerable.pop()
            self._call(lambda: self.acceptor.respond(number, command, status, comment, (0x00080018,)))

    @rule(how=st.sampled_from(["receive_eof", "artim_expired", "abort", "reject"]))
    def ends(self, how: str) -> None:
        self._call(getattr(self.acceptor, how), *([Rejection(1, 1, 7)] if how == "reject" else ()))

    @precondition(lambda self: self.acceptor.state in (State.STA1, State.STA13))
    @rule()
    def another_association(self) -> None:
        self.acceptor = make(256, max_pdu=4096)
        self.asked, self.answerable, self.states = None, [], [self.acceptor.state]
        self._feed(pdus.request())
        self.accept()

    # Invariants

    @invariant()
    def state_is_in_the_table(self) -> None:
        for before, after in zip(self.states, self.states[1:], strict=False):
            assert after in REACHABLE[before]
        del self.states[:-1]

    @invariant()
    def output_decodes(self) -> None:
        for kind, body in pdus.read_pdus(self.sent):
            if kind == pdus.P_DATA:
                assert not self.max_length or len(body) <= self.max_length
                assert all(number % 2 or number in (0, 2) for number, _, _ in pdus.read_pdvs(body))
            elif kind == pdus.ASSOCIATE_AC:
                pdus.accepted(body)
                pdus.user_items(body)
            else:
                assert kind in (pdus.ASSOCIATE_RJ, pdus.RELEASE_RP, pdus.ABORT) and len(body) == 4
        if self.sent and self.sent[0] == pdus.P_DATA:
            pdus.read_commands(
                b"".join(pdus.pdu(kind, body) for kind, body in pdus.read_pdus(self.sent) if kind == pdus.P_DATA)
            )
        self.sent = b""

    @invariant()
    def memory_is_bounded(self) -> None:
        assert held(self.acceptor) <= MOST_HELD

    def teardown(self) -> None:
        self._call(self.acceptor.receive_eof)
        assert self.acceptor.state is State.STA1
        assert self.acceptor.next_event() is None

    def _feed(self, data: bytes) -> None:
        chunk = max(self.chunk, len(data) // 100)
        while data:
            free = self.acceptor.get_buffer()
            assert len(free)
            count = min(len(free), chunk, len(data))
            free[:count] = data[:count]
            data = data[count:]
            self.acceptor.buffer_updated(count)
            self._drain()

    def _call(self, what: Any, *arguments: Any) -> None:
        with suppress(LocalProtocolError):
            what(*arguments)
        self._drain()

    def _drain(self) -> None:
        while (event := self.acceptor.next_event()) is not None:
            assert isinstance(event, events.Event)
            if isinstance(event, events.AssociateRequested):
                self.asked = event.request
                self.max_length = event.request.user.max_length or 0
            elif isinstance(event, events.EchoRequested | events.StoreRequested):
                self.answerable = [(event.context_id, event.command)]
            self.states.append(self.acceptor.state)
        self.states.append(self.acceptor.state)
        self.sent += taken(self.acceptor)


def held(root: object) -> int:
    """Bytes of text and data reachable from an object of ours, without the memory that its maker gave it."""
    seen: set[int] = set()
    pending, size = [root], 0
    while pending:
        each = pending.pop()
        if id(each) in seen or isinstance(each, type | types.ModuleType | types.FunctionType | memoryview):
            continue
        seen.add(id(each))
        if isinstance(each, bytes | bytearray | str):
            size += len(each)
        else:
            pending += gc.get_referents(each)
    buffer: Any = root
    return size - len(buffer._buffer.memory)
