"""What plugins say in `negotiate`, and what the peer gets: contexts beside the default, the answer to an identity."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmrecv_core import Accept, Also, Association, Ended, Reject, SupportedContext, hookimpl
from dcmrecv_core.net.record import RecordBoard, decode
from dcmrecv_core.net.worker import session as session_module
from support.plugins import ASSOCIATION, found
from support.protocol.pdus import (
    ASSOCIATE_AC,
    IDENTIFICATION,
    accepted,
    associate_rq,
    context,
    item,
    max_length,
    read_pdus,
    request,
    user_items,
)
from support.protocol.scripted_connection import Clock, FakeConnection
from support.protocol.scripted_worker import RELEASE, Make, ScriptedWorker, store
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, VERIFICATION

COMMITMENT = "1.2.840.10008.1.20.1"
REQUEST = associate_rq([(CT, [EXPLICIT_LE]), (VERIFICATION, [IMPLICIT_LE]), (COMMITMENT, [IMPLICIT_LE])])


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    clock = Clock()
    monkeypatch.setattr(session_module, "time", clock)
    yield lambda **settings: ScriptedWorker(tmp_path, clock, **settings)


def results(worker: ScriptedWorker, body: bytes = REQUEST) -> list[int]:
    [(_, answer), _] = read_pdus(worker.play(RELEASE, request=body).sent)
    return [result for result, _ in accepted(answer).values()]


def identified(user: bytes, *, asks: bool = True) -> bytes:
    identity = item(0x58, bytes((1, asks)), struct.pack(">H", len(user)), user, bytes(2))
    return request([context(1, CT, EXPLICIT_LE)], (max_length(16384), *IDENTIFICATION, identity))


def identity_answers(sent: bytes) -> list[bytes]:
    kind, body = read_pdus(sent)[0]
    assert kind == ASSOCIATE_AC
    return [value for kind, value in user_items(body) if kind == 0x59]


@pytest.mark.parametrize("promiscuous", [False, True])
def test_also_leaves_the_default_contexts_on(make: Make, promiscuous: bool) -> None:
    """The recorder has `receive`, so storage is accepted by default."""
    worker = make(promiscuous=promiscuous)
    worker.recorder.answer = Also((SupportedContext(COMMITMENT, None),))
    assert [results(worker) for _ in range(3)] == [[0, 0, 0]] * 3


def test_an_iterable_and_accept_replace_the_default(make: Make) -> None:
    worker = make(promiscuous=False)
    for answer in ([SupportedContext(COMMITMENT, None)], Accept((SupportedContext(COMMITMENT, None),))):
        worker.recorder.answer = answer
        assert results(worker) == [3, 3, 0]


def test_also_is_added_to_other_answers(make: Make) -> None:
    class Service:
        @hookimpl
        def negotiate(self) -> Also:
            return Also((SupportedContext(COMMITMENT, None),))

    worker = make(promiscuous=False)
    worker.shared.plugins.add(found(Service(), "service"), named=True)
    worker.recorder.answer = [SupportedContext(CT, None)]
    assert results(worker) == [0, 3, 0]
    worker.recorder.answer = []
    assert results(worker) == [3, 3, 0]
    worker.recorder.answer = Reject()
    assert read_pdus(worker.play(request=REQUEST).sent)[0][0] == 3


def test_the_identity_response_is_sent_if_one_was_asked_for(make: Make) -> None:
    worker = make(promiscuous=False)
    worker.recorder.answer = Accept((SupportedContext(CT, None),), identity_response=b"ticket")
    assert identity_answers(worker.play(RELEASE, request=identified(b"me")).sent) == [b"\0\x06ticket"]
    for unasked in (identified(b"me", asks=False), REQUEST):
        assert identity_answers(worker.play(RELEASE, request=unasked).sent) == []
    worker.recorder.answer = Accept((SupportedContext(CT, None),))
    assert identity_answers(worker.play(RELEASE, request=identified(b"me")).sent) == [b"\0\0"]


def test_no_peer_gets_the_identity_response_of_another(make: Make) -> None:
    contexts = (SupportedContext(CT, None),)
    worker = make(promiscuous=False)

    class Login:
        @hookimpl
        def negotiate(self, association: Association) -> Accept:
            identity = association.user_identity
            return Accept(contexts, b"for " + identity.primary if identity else None)

    worker.shared.plugins.add(found(Login(), "login"), named=True)
    for user in (b"anna", b"bert", b"anna"):
        answer = b"for " + user
        said = identity_answers(worker.play(RELEASE, request=identified(user)).sent)
        assert said == [struct.pack(">H", len(answer)) + answer]
    assert identity_answers(worker.play(RELEASE, request=REQUEST).sent) == []


def test_accepted_is_told_after_the_answer_was_sent(make: Make) -> None:
    worker = make()
    told: list[tuple[Association, int]] = []

    class Watch:
        @hookimpl
        def association_accepted(self, association: Association) -> None:
            told.append((association, len(connection.sent)))

    worker.shared.plugins.add(found(Watch(), "watch"), named=True)
    worker.shared.tells_accepted = True
    connection = FakeConnection(worker.clock, [RELEASE])
    worker.run(connection, REQUEST)
    [(association, sent)] = told
    assert sent == len(connection.sent) - 10, "all but the A-RELEASE-RP"
    assert association is worker.recorder.ends[0][0]
    worker.recorder.answer = Reject()
    connection = FakeConnection(worker.clock, [])
    worker.run(connection, REQUEST)
    assert len(told) == 1, "a rejected one was not accepted"


def test_the_association_knows_the_peers_implementation(make: Make) -> None:
    worker = make()
    worker.play(RELEASE)
    [(association, _)] = worker.recorder.ends
    assert (association.implementation_class_uid, association.implementation_version_name) == ("1.2.3.4", "RAWSCU")
    worker.play(RELEASE, request=request([context(1, CT, EXPLICIT_LE)], ()))
    association = worker.recorder.ends[1][0]
    assert (association.implementation_class_uid, association.implementation_version_name) == ("", "")


def test_the_record_is_open_while_the_association_lasts(make: Make) -> None:
    worker = make()
    record = worker.shared.record = RecordBoard(1).record(0)
    lost: list[bytes | None] = []

    class Watch:
        @hookimpl
        def association_ended(self) -> None:
            lost.append(record.take(worker.clock.now))

    worker.shared.plugins.add(found(Watch(), "watch"), named=True)

    def killed() -> None:
        worker.shared.count_progress()
        lost.append(record.take(worker.clock.now))
        record.open(ASSOCIATION, 0.0)

    connection = FakeConnection(worker.clock, [store(1), killed, RELEASE])
    worker.run(connection, REQUEST)
    worker.shared.count_progress()
    during, after = lost
    assert during is not None and after is None
    association, summary = decode(during)
    assert (association.calling_ae_title, len(association.proposed)) == ("RAWSCU", 3)
    assert (summary.stored, summary.ended) == (1, Ended.LOST)
    assert worker.recorder.ends[0][0].id == association.id
