"""What is accepted, and how the A-ASSOCIATE-AC says so."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_AC

from dcmrecv_core.api.errors import LocalProtocolError, RemoteProtocolError
from dcmrecv_core.api.model import ProposedContext, UserIdentity
from dcmrecv_core.api.verdicts import Role, SupportedContext
from dcmrecv_core.proto import events
from dcmrecv_core.proto.associate import ContextResult, UserInformation, decode_associate_rq
from dcmrecv_core.proto.negotiation import Answer, negotiate
from dcmrecv_core.proto.pdu import PeerAborted, Rejection, check_request_header
from support.protocol import pdus
from support.protocol.acceptor_runs import Run, established, make, taken
from support.protocol.pdus import context, counted, item
from support.uids import (
    BIG_ENDIAN,
    CT,
    DEFLATED,
    EXPLICIT_LE,
    IMPLICIT_LE,
    JPEG,
    JPIP,
    MR,
    PRIVATE_SYNTAX,
    RLE,
    VERIFICATION,
)

ASK = {"nothing": None, "both": (True, True), "scp": (False, True), "scu": (True, False)}
RESULT_REFUSED = (2, None)

#                       asked: nothing            both                 scp only             scu only
ROLES: dict[Role | None, tuple[tuple[int, tuple[bool, bool] | None], ...]] = {
    # Default roles, in the answer only if the requestor proposes SCU; for SCP alone no item, not 0/0
    None: ((0, None), (0, (True, False)), (0, None), (0, (True, False))),
    Role.SCU: ((0, None), (0, (True, False)), (0, (False, False)), (0, (True, False))),
    Role.SCP: (RESULT_REFUSED, (0, (False, True)), (0, (False, True)), (0, (False, False))),
    Role.BOTH: ((0, None), (0, (True, True)), (0, (False, True)), (0, (True, False))),
}


@pytest.mark.parametrize(
    ("ours", "asked", "expected"),
    [(ours, asked, cell) for ours, cells in ROLES.items() for asked, cell in zip(ASK, cells, strict=True)],
)
def test_role(ours: Role | None, asked: str, expected: tuple[int, tuple[bool, bool] | None]) -> None:
    answer = negotiate(
        [ProposedContext(1, CT, (IMPLICIT_LE,), ASK[asked])], [SupportedContext(CT, (IMPLICIT_LE,), role=ours)]
    )
    assert (answer.results[0].result, answer.roles.get(CT)) == expected
    assert bool(answer.accepted) is (expected[0] == 0)


#                          ours                             proposed                 result, transfer syntax
SYNTAXES: dict[str, tuple[list[tuple[str, ...] | None], tuple[str, ...], int, str]] = {
    "our order counts": ([(EXPLICIT_LE, IMPLICIT_LE)], (IMPLICIT_LE, EXPLICIT_LE), 0, EXPLICIT_LE),
    "our second": ([(EXPLICIT_LE, IMPLICIT_LE)], (DEFLATED, IMPLICIT_LE), 0, IMPLICIT_LE),
    "none in common": ([(EXPLICIT_LE, IMPLICIT_LE)], (DEFLATED, BIG_ENDIAN), 4, IMPLICIT_LE),
    "class unknown": ([], (IMPLICIT_LE,), 3, IMPLICIT_LE),
    "any: the proposer's order": ([None], (DEFLATED, IMPLICIT_LE), 0, DEFLATED),
    "union, the first source's order": ([(IMPLICIT_LE,), (EXPLICIT_LE,)], (EXPLICIT_LE, IMPLICIT_LE), 0, IMPLICIT_LE),
    "union, found in the second": ([(BIG_ENDIAN,), (EXPLICIT_LE,)], (EXPLICIT_LE, IMPLICIT_LE), 0, EXPLICIT_LE),
    "some, then anything: the listed first": ([(BIG_ENDIAN,), None], (EXPLICIT_LE, BIG_ENDIAN), 0, BIG_ENDIAN),
    "some, then anything: none listed": ([(BIG_ENDIAN,), None], (DEFLATED, EXPLICIT_LE), 0, DEFLATED),
    "any united with some": ([None, (BIG_ENDIAN,)], (EXPLICIT_LE, BIG_ENDIAN), 0, EXPLICIT_LE),
    "supported in no syntax": ([()], (IMPLICIT_LE,), 4, IMPLICIT_LE),
}


@pytest.mark.parametrize(("ours", "proposed", "result", "syntax"), SYNTAXES.values(), ids=SYNTAXES)
def test_transfer_syntax(
    ours: list[tuple[str, ...] | None], proposed: tuple[str, ...], result: int, syntax: str
) -> None:
    answer = negotiate([ProposedContext(7, CT, proposed)], [SupportedContext(CT, syntaxes) for syntaxes in ours])
    assert answer.results == (ContextResult(7, result, syntax),)


@pytest.mark.parametrize("last", [PRIVATE_SYNTAX, JPIP])
def test_fault_17_what_few_can_read_is_chosen_last(last: str) -> None:
    for other in (EXPLICIT_LE, DEFLATED, JPEG, IMPLICIT_LE, BIG_ENDIAN):
        assert chosen(last, other) == other
    assert chosen(last) == last


def test_fault_17_explicit_vr_is_chosen_before_implicit() -> None:
    for other in (EXPLICIT_LE, DEFLATED, JPEG):
        assert chosen(BIG_ENDIAN, IMPLICIT_LE, other) == other
    assert chosen(BIG_ENDIAN, IMPLICIT_LE) == IMPLICIT_LE
    assert chosen(JPEG, DEFLATED, EXPLICIT_LE) == JPEG
    assert chosen(DEFLATED, EXPLICIT_LE, JPEG) == DEFLATED
    assert chosen(EXPLICIT_LE, JPEG, DEFLATED) == EXPLICIT_LE


def chosen(*proposed: str) -> str:
    """Of what is proposed, where any syntax is accepted."""
    [result] = negotiate([ProposedContext(1, CT, proposed)], [SupportedContext(CT, None)]).results
    assert result.result == 0
    return result.transfer_syntax


#                               preferred         ours                      proposed                chosen
PREFERRED: dict[str, tuple[tuple[str, ...], list[tuple[str, ...] | None], tuple[str, ...], str]] = {
    "where any is accepted": ((RLE, JPEG), [None], (EXPLICIT_LE, JPEG, RLE), RLE),
    "even if it is private": ((PRIVATE_SYNTAX,), [None], (EXPLICIT_LE, PRIVATE_SYNTAX), PRIVATE_SYNTAX),
    "the first that is proposed": ((RLE, JPEG), [None], (EXPLICIT_LE, JPEG), JPEG),
    "among those listed": ((RLE, JPEG), [(EXPLICIT_LE, JPEG)], (EXPLICIT_LE, JPEG, RLE), JPEG),
    "not where it is not accepted": ((RLE,), [(EXPLICIT_LE, JPEG)], (JPEG, EXPLICIT_LE, RLE), EXPLICIT_LE),
    "before what another source lists": ((RLE,), [(JPEG,), None], (JPEG, RLE), RLE),
    "not proposed": ((RLE,), [None], (IMPLICIT_LE, JPEG), JPEG),
}


@pytest.mark.parametrize(("preferred", "ours", "proposed", "syntax"), PREFERRED.values(), ids=PREFERRED)
def test_preferred_syntax(
    preferred: tuple[str, ...], ours: list[tuple[str, ...] | None], proposed: tuple[str, ...], syntax: str
) -> None:
    supported = [SupportedContext(CT, syntaxes) for syntaxes in ours]
    answer = negotiate([ProposedContext(1, CT, proposed)], supported, preferred)
    assert answer.accepted == {1: (CT, syntax)}


def test_any_syntax_is_chosen_for_each_context_on_its_own() -> None:
    proposed = [ProposedContext(1, CT, (DEFLATED, IMPLICIT_LE)), ProposedContext(3, CT, (BIG_ENDIAN,))]
    answer = negotiate([*proposed, ProposedContext(5, MR, (IMPLICIT_LE,))], [SupportedContext(CT, None)])
    assert [tuple(result) for result in answer.results] == [(1, 0, DEFLATED), (3, 0, BIG_ENDIAN), (5, 3, IMPLICIT_LE)]


def test_role_and_extended_negotiation_of_the_first_source_that_has_them() -> None:
    ours = [
        SupportedContext(CT, (IMPLICIT_LE,)),
        SupportedContext(CT, (EXPLICIT_LE,), Role.BOTH, b""),
        SupportedContext(CT, (EXPLICIT_LE,), Role.SCP, b"second"),
    ]
    answer = negotiate([ProposedContext(1, CT, (IMPLICIT_LE,), (True, True))], ours)
    assert (answer.roles, answer.extended) == ({CT: (True, True)}, {CT: b""})


@pytest.mark.parametrize("asked", [None, b"\1\2"])
def test_extended_negotiation_is_answered_for_what_is_accepted(asked: bytes | None) -> None:
    """Also if the peer sent no such item, as in DCMTK."""
    ours = [SupportedContext(CT, (EXPLICIT_LE,), None, b"ct"), SupportedContext(MR, (EXPLICIT_LE,), None, b"mr")]
    proposed = [
        ProposedContext(1, CT, (EXPLICIT_LE,), None, asked),
        ProposedContext(3, MR, (IMPLICIT_LE,), None, asked),
    ]
    assert negotiate(proposed, ours).extended == {CT: b"ct"}


def test_user_information_of_the_answer() -> None:
    run = Run(
        max_pdu=16385,
        supported=[SupportedContext(CT, (IMPLICIT_LE,), Role.BOTH, b"\1\0\2"), SupportedContext(MR, (IMPLICIT_LE,))],
    )
    roles = [item(0x54, counted(CT), b"\1\1"), item(0x54, counted(MR), b"\0\1"), item(0x54, counted("9.9"), b"\1\1")]
    roles.append(item(0x54, counted(CT), b"\0\1"))  # of two for a class the first one counts
    window = item(0x53, struct.pack(">HH", 0, 0))
    run.feed(
        pdus.request([context(1, CT, IMPLICIT_LE), context(3, MR, IMPLICIT_LE)], [pdus.max_length(0), window, *roles])
    )
    assert pdus.user_items(run.sent[6:]) == [
        (0x51, struct.pack(">I", 16384)),  # never odd
        (0x52, b"1.2.3"),
        (0x53, struct.pack(">HH", 1, 1)),
        (0x54, counted(CT) + b"\1\1"),
        (0x55, b"TEST"),
        (0x56, counted(CT) + b"\1\0\2"),
    ]


@pytest.mark.parametrize("identity", [b"\1\1\0\3joe\0\0", b"\1\0\0\3joe\0\0", b"\2\1\0\3joe\0\2pw"])
def test_nothing_optional_is_answered_unless_asked_for(identity: bytes) -> None:
    run = Run()
    run.feed(pdus.request(user=[pdus.max_length(0), item(0x58, identity), item(0x57, bytes(6)), item(0x77, b"new")]))
    assert [kind for kind, _ in pdus.user_items(run.sent[6:])] == [0x51, 0x52, 0x55]


def test_user_identity_response() -> None:
    acceptor = make()
    acceptor.receive_request(pdus.request(user=[item(0x58, b"\2\1\0\3joe\0\2pw")]))
    event = acceptor.next_event()
    assert isinstance(event, events.AssociateRequested)
    assert event.request.user.user_identity == UserIdentity(2, True, b"joe", b"pw")
    acceptor.accept(
        Answer((ContextResult(1, 0, IMPLICIT_LE),), {1: (VERIFICATION, IMPLICIT_LE)}), identity_response=b""
    )
    assert pdus.user_items(taken(acceptor)[6:])[-1] == (0x59, b"\0\0")


def test_a_message_after_the_request_is_served_after_the_decision() -> None:
    assert pdus.statuses(established(pdus.echo() + pdus.store()).answers) == [(1, 0x8030, 7, 0), (3, 0x8001, 7, 0)]


def test_request_that_the_caller_has_read() -> None:
    acceptor = make()
    acceptor.receive_request(pdus.request())
    event = acceptor.next_event()
    assert isinstance(event, events.AssociateRequested)
    with pytest.raises(LocalProtocolError):
        acceptor.receive_request(pdus.request())
    acceptor.reject(Rejection(2, 3, 2))
    assert taken(acceptor) == pdus.hexa("03 00 00000004 00 02 03 02")


@pytest.mark.parametrize("data", [b"", b"\1\0", pdus.request()[:-1], pdus.request() + b"\0", pdus.echo(), bytes(80)])
def test_invalid_request(data: bytes) -> None:
    acceptor = make()
    acceptor.receive_request(data)
    assert isinstance(acceptor.next_event(), events.Failed)
    assert taken(acceptor) == pdus.abort(0, 0)


def test_request_after_the_beginning_of_another() -> None:
    run = Run()
    run.feed(pdus.request()[:20])
    with pytest.raises(LocalProtocolError):
        run.acceptor.receive_request(pdus.request())


@pytest.mark.parametrize(
    ("header", "length"),
    [("01 00 00000044", 68), ("01 ff 00000044", 68), ("01 00 00100000", 1 << 20)],
)
def test_header_of_a_request(header: str, length: int) -> None:
    assert check_request_header(pdus.hexa(header)) == length


@pytest.mark.parametrize("header", ["02 00 00000044", "01 00 00000043", "01 00 00100001", "01 00 ffffffff"])
def test_header_that_is_refused(header: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        check_request_header(pdus.hexa(header))
    assert (caught.value.source, caught.value.reason) == (0, 0)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (0, "^Unrecognized PDU type: 00$"),
        (2, "^A-ASSOCIATE-RQ expected, not PDU type 02$"),
        (7, "^A-ASSOCIATE-RQ expected, not PDU type 07$"),
        (8, "^Unrecognized PDU type: 08$"),
    ],
)
def test_another_pdu_instead_of_a_request_is_named(kind: int, text: str) -> None:
    """An A-ABORT has its own error class, because it is not answered (PS3.8 action AA-2)."""
    with pytest.raises(RemoteProtocolError, match=text) as caught:
        check_request_header(bytes((kind, 0, 0, 0, 0, 4)))
    assert isinstance(caught.value, PeerAborted) is (kind == 7)


def test_no_proposal_makes_an_answer_too_long_for_its_item() -> None:
    """Roles are answered with the peer's UIDs: these fill its user information to the last three bytes."""
    uids = [f"{number:03}." + "1" * 504 for number in range(127)]
    run = Run(supported=[SupportedContext(uid, None) for uid in uids])
    contexts = [context(number, uid, IMPLICIT_LE) for number, uid in enumerate(uids)]
    run.feed(pdus.request(contexts, [item(0x54, counted(uid), b"\1\0") for uid in uids]))
    assert set(pdus.accepted(run.sent[6:]).values()) == {(0, IMPLICIT_LE)}


@pytest.mark.parametrize("length", [65536, 1 << 20])
def test_an_answer_that_is_too_long_is_a_local_error(length: int) -> None:
    acceptor = make()
    acceptor.receive_request(pdus.request())
    acceptor.next_event()
    information = bytes(length - len(counted(VERIFICATION)))
    with pytest.raises(LocalProtocolError):
        acceptor.accept(
            Answer(
                (ContextResult(1, 0, IMPLICIT_LE),),
                {1: (VERIFICATION, IMPLICIT_LE)},
                extended={VERIFICATION: information},
            )
        )


@pytest.mark.parametrize(("length", "answered"), [(128, True), (129, False)])
def test_roles_of_overlong_uids_are_not_answered(length: int, answered: bool) -> None:
    uid = "1." + "1" * (length - 2)
    run = Run(supported=[SupportedContext(uid, (IMPLICIT_LE,), Role.BOTH)])
    run.feed(pdus.request([context(1, uid, IMPLICIT_LE)], [pdus.max_length(0), item(0x54, counted(uid), b"\1\1")]))
    assert ((0x54, counted(uid) + b"\1\1") in pdus.user_items(run.sent[6:])) is answered


def test_the_answers_fixed_fields() -> None:
    """Version, both titles as received, the application context (PS3.8 table 9-17)."""
    accept = established().sent[6:]
    assert accept[:74] == b"\0\1\0\0" + b"ANY".ljust(16) + b"RAWSCU".ljust(16) + bytes(32) + pdus.hexa(
        "10 00 0015 312e"
    )


UIDS = st.lists(st.integers(0, 99999), min_size=1, max_size=6).map(lambda parts: ".".join(map(str, [1, *parts])))
TITLES = st.binary(min_size=16, max_size=16)
CONTEXTS = st.dictionaries(st.integers(0, 255), st.tuples(UIDS, st.lists(UIDS, min_size=1, max_size=4)), max_size=20)
SHORT = st.binary(max_size=40)
USERS = st.fixed_dictionaries(
    {},
    optional={
        "max_length": st.integers(0, 0xFFFFFFFF),
        "implementation_class_uid": UIDS,
        "implementation_version_name": st.text("AZ_09", min_size=1, max_size=16),
        "async_window": st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
        "roles": st.dictionaries(UIDS, st.tuples(st.booleans(), st.booleans()), max_size=5),
        "extended": st.dictionaries(UIDS, SHORT, max_size=5),
        "user_identity": st.builds(UserIdentity, st.integers(0, 255), st.booleans(), SHORT, SHORT),
    },
)


def user_items(user: UserInformation) -> list[bytes]:
    items = [] if user.max_length is None else [pdus.max_length(user.max_length)]
    if user.implementation_class_uid:
        items.append(item(0x52, user.implementation_class_uid))
    if user.async_window:
        items.append(item(0x53, struct.pack(">HH", *user.async_window)))
    items += [item(0x54, counted(uid), bytes(role)) for uid, role in user.roles.items()]
    if user.implementation_version_name:
        items.append(item(0x55, user.implementation_version_name))
    items += [item(0x56, counted(uid), value) for uid, value in user.extended.items()]
    if identity := user.user_identity:
        head = bytes([identity.kind, identity.response_requested])
        items.append(item(0x58, head, counted(identity.primary), counted(identity.secondary)))
    return items


@settings(max_examples=100, deadline=None)
@given(version=st.integers(0, 65535), called=TITLES, calling=TITLES, contexts=CONTEXTS, user=USERS)
def test_every_request_is_read_back(
    version: int, called: bytes, calling: bytes, contexts: dict[int, tuple[str, list[str]]], user: dict[str, object]
) -> None:
    information = UserInformation(**user)  # type: ignore[arg-type]
    stream = pdus.request(
        [context(number, abstract, *syntaxes) for number, (abstract, syntaxes) in contexts.items()],
        user_items(information),
        version=version,
        called=called,
        calling=calling,
    )
    request = decode_associate_rq(stream[6:])
    assert (request.protocol_version, request.called, request.calling) == (version, called, calling)
    assert [(number, abstract, list(syntaxes)) for number, abstract, syntaxes in request.contexts] == [
        (number, abstract, syntaxes) for number, (abstract, syntaxes) in contexts.items()
    ]
    assert request.user == information


@settings(max_examples=50, deadline=None)
@given(
    results=st.dictionaries(st.integers(0, 127), st.tuples(st.integers(0, 4), UIDS), min_size=1, max_size=10),
    roles=st.dictionaries(UIDS, st.tuples(st.booleans(), st.booleans()), max_size=3),
    extended=st.dictionaries(UIDS, st.binary(min_size=1, max_size=20), max_size=3),
)
def test_pynetdicom_reads_every_answer(
    results: dict[int, tuple[int, str]], roles: dict[str, tuple[bool, bool]], extended: dict[str, bytes]
) -> None:
    acceptor = make(1 << 16)
    request = [context(2 * number + 1, CT, IMPLICIT_LE) for number in results]
    acceptor.receive_request(pdus.request(request, [pdus.max_length(0), item(0x53, struct.pack(">HH", 5, 5))]))
    acceptor.next_event()
    acceptor.accept(
        Answer(
            tuple(ContextResult(2 * number + 1, result, syntax) for number, (result, syntax) in results.items()),
            {},
            roles,
            extended,
        )
    )
    output = taken(acceptor)
    accept = A_ASSOCIATE_AC()
    accept.decode(output)
    assert accept.encode() == output
    assert {
        context.context_id: (context.result, str(context.transfer_syntax)) for context in accept.presentation_context
    } == {2 * number + 1: value for number, value in results.items()}
