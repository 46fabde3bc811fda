"""One association from its request to each possible end, over a scripted connection."""

from __future__ import annotations

import errno
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmrecv_core import compiled
from dcmrecv_core.api.model import Instance
from dcmrecv_core.api.outcomes import Ended, Summary
from dcmrecv_core.api.verdicts import Discard, Reject, RejectReason, SupportedContext
from dcmrecv_core.net.connection import CALL_TIMEOUT, LINGER
from dcmrecv_core.net.hostnames import HostNames
from dcmrecv_core.net.worker import caches
from dcmrecv_core.net.worker import session as session_module
from dcmrecv_core.net.worker.session import MAX_PENDING_OUTPUT
from dcmrecv_core.receive.pipeline import Reception
from dcmrecv_core.settings.settings import Settings
from support.data.datasets import instance_of
from support.protocol.pdus import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    ECHO_RQ,
    P_DATA,
    RELEASE_RP,
    accepted,
    associate_rq,
    command_set,
    data_pdus,
    item,
    pdu,
    read_pdus,
    store_rq,
)
from support.protocol.scripted_connection import EOF, Clock, FakeConnection, Step
from support.protocol.scripted_worker import (
    CONTEXTS,
    ECHO,
    INSTANCE,
    RELEASE,
    REQUEST,
    RESET,
    Make,
    ScriptedWorker,
    responses,
    store,
)
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, VERIFICATION


def ids_of(said: bytes) -> str:
    return f"after-{len(said)}-bytes"


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    clock = Clock()
    monkeypatch.setattr(session_module, "time", clock)
    yield lambda **settings: ScriptedWorker(tmp_path, clock, **settings)
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")], "something is left over"


@pytest.fixture
def worker(make: Make) -> ScriptedWorker:
    return make()


# Associations without errors


@pytest.mark.parametrize("size", [1, 7, 100_000], ids=lambda size: f"by-{size}")
def test_echo_store_release(worker: ScriptedWorker, size: int) -> None:
    data = ECHO + store(1) + RELEASE
    connection = worker.play(*(data[at : at + size] for at in range(0, len(data), size)))
    assert [kind for kind, _ in read_pdus(connection.sent)] == [ASSOCIATE_AC, P_DATA, P_DATA, RELEASE_RP]
    assert accepted(read_pdus(connection.sent)[0][1]) == {1: (0, EXPLICIT_LE), 3: (0, IMPLICIT_LE)}
    assert responses(connection.sent) == [(7, 0), (1, 0)]
    assert worker.files == [f"CT.{INSTANCE}.1"]
    [(association, summary)] = worker.recorder.ends
    assert summary == Summary(1, 0, 0, len(instance_of(CT, f"{INSTANCE}.1")), 0.0, Ended.RELEASED)
    assert (association.calling_ae_title, association.peer_address, association.peer_port) == (
        "RAWSCU",
        "10.0.0.1",
        4242,
    )


def test_ids_are_unique(worker: ScriptedWorker) -> None:
    for _ in range(2):
        worker.play(RELEASE)
    assert len({association.id for association, _ in worker.recorder.ends}) == 2


def test_each_response_is_one_send(worker: ScriptedWorker) -> None:
    connection = worker.play(store(1), store(2) + store(3), RELEASE)
    assert [len(read_pdus(piece)) for piece in connection.sends] == [1, 1, 1, 1, 1]


def test_an_answer_that_does_not_fit_rejects(worker: ScriptedWorker) -> None:
    """Each of the two items of extended negotiation fits, both together do not."""
    extended = bytes(40_000)
    worker.recorder.answer = [SupportedContext(uid, None, extended=extended) for uid in (CT, VERIFICATION)]
    connection = worker.play()
    assert [kind for kind, _ in read_pdus(connection.sent)] == [ASSOCIATE_RJ]
    assert worker.summary.ended == Ended.REJECTED


def test_debug_logs_all_messages(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "dcmrecv")
    make().play(ECHO, store(1), RELEASE)
    said = "\n".join(record.getMessage() for record in caplog.records if record.levelname == "DEBUG")
    for line in (
        "  01  00  00  00",
        "    Abstract Syntax: =CTImageStorage",
        "Message Type                  : C-ECHO RQ",
        "P-DATA-TF: 1 fragments of a data set, ",
        f"Affected SOP Instance UID     : {INSTANCE}.1",
        "DIMSE Status                  : 0x0000: Success",
        f"hook choose_filename: plugin instance-uid: result Name(text='CT.{INSTANCE}.1'",
    ):
        assert line in said


def test_nothing_is_composed_for_a_level_that_is_off(
    make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("WARNING")
    worker = make()
    for name in ("echo", "store_received", "data_received", "store_answered"):
        monkeypatch.setattr(worker.shared.association_log, name, lambda *arguments: 1 // 0)
    connection = worker.play(store(1), ECHO, RELEASE)
    assert responses(connection.sent) == [(1, 0), (7, 0)]


def test_an_internal_error_ends_its_association_only(worker: ScriptedWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reception, "write", lambda *arguments, last: 1 // 0)
    connection = worker.play(store(1))
    assert [kind for kind, _ in read_pdus(connection.sent)] == [ASSOCIATE_AC, ABORT]
    assert worker.summary.ended == Ended.FAILED


def test_statuses_and_what_is_counted(worker: ScriptedWorker) -> None:
    def verdict(instance: Instance) -> object:
        if instance.sop_instance_uid.endswith(".2"):
            return Discard("not wanted")
        if instance.sop_instance_uid.endswith(".3"):
            raise RuntimeError("out of order")
        return None

    worker.recorder.verdict = verdict
    no_data = b"".join(data_pdus(1, [command_set({**store_rq(CT, INSTANCE, 5), 0x0800: 0x0101})], is_command=True))
    truncated = store(4, instance_of(CT, f"{INSTANCE}.4")[:-10])
    connection = worker.play(store(1), store(2), store(3), truncated, no_data, ECHO, RELEASE)
    assert responses(connection.sent) == [(1, 0), (2, 0), (3, 0x0110), (4, 0xC000), (5, 0x0212), (7, 0)]
    summary = worker.summary
    assert (summary.stored, summary.discarded, summary.refused) == (1, 1, 3)
    assert worker.files == [f"CT.{INSTANCE}.1"]


def test_a_command_that_carries_no_instance_is_not_counted(worker: ScriptedWorker) -> None:
    find = {**ECHO_RQ, 0x0100: 0x0020}
    connection = worker.play(b"".join(data_pdus(3, [command_set(find)], is_command=True)), RELEASE)
    assert responses(connection.sent) == [(7, 0x0211)]
    assert worker.summary.refused == 0


# Requests


@pytest.mark.parametrize(
    ("maximum", "shown"),
    [(None, 131060), (0, 131060), (200_000, 131060), (16384, 16372), (4097, 4084), (24, 12), (20, 4084)],
)
def test_the_length_that_the_log_shows(
    make: Make, caplog: pytest.LogCaptureFixture, maximum: int | None, shown: int
) -> None:
    caplog.set_level("INFO")
    request = associate_rq([(VERIFICATION, [IMPLICIT_LE])], max_pdu=maximum or 0)
    if maximum is None:  # an item of an unknown kind is ignored
        request = request.replace(b"\x51\0\0\4\0\0\0\0", b"\x7f\0\0\4\0\0\0\0")
    make().play(RELEASE, request=request)
    assert f"Association Acknowledged (Max Send PDV: {shown})" in caplog.messages


@pytest.mark.parametrize(("disabled", "shown"), [(False, "ct1"), (True, "10.0.0.1")])
def test_hosts_are_named_unless_disabled(
    make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, disabled: bool, shown: str
) -> None:
    monkeypatch.setattr(HostNames, "name", lambda self, address: {"10.0.0.1": "ct1"}[address])
    caplog.set_level("INFO")
    make(disable_host_lookup=disabled).play(RELEASE)
    assert f"Association Received {shown}: RAWSCU -> ANY" in caplog.messages


def test_without_info_no_name_is_looked_up(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")
    assert make().shared.association_log.host_name is str


@pytest.mark.parametrize(
    ("answer", "rejection"),
    [
        (Reject(RejectReason.CALLING_AE_TITLE_NOT_RECOGNIZED), (1, 1, 3)),
        (Reject(RejectReason.TEMPORARY_CONGESTION, transient=True), (2, 3, 1)),
        ([SupportedContext("1.2.3", None)], (1, 1, 1)),
        (7, (2, 1, 1)),  # not a valid answer: the plugin is broken
    ],
    ids=["by-plugin", "transient", "no-acceptable-context", "plugin-fails"],
)
def test_rejections(make: Make, answer: object, rejection: tuple[int, int, int]) -> None:
    worker = make(promiscuous=False)
    worker.recorder.answer = answer
    connection = worker.play(ECHO, RELEASE)
    assert read_pdus(connection.sent) == [(ASSOCIATE_RJ, bytes((0, *rejection)))]
    assert worker.summary == Summary(0, 0, 0, 0, 0.0, Ended.REJECTED)


@pytest.mark.parametrize("level", ["INFO", "WARNING"])
def test_the_log_says_what_would_accept_refused_contexts(
    make: Make, caplog: pytest.LogCaptureFixture, level: str
) -> None:
    caplog.set_level(level)
    worker = make(promiscuous=False)
    worker.recorder.answer = [SupportedContext(VERIFICATION, (IMPLICIT_LE,))]
    worker.play(RELEASE)
    lines = [record.getMessage().strip() for record in caplog.records]
    assert lines.count("PresentationContext1 = CTImageStorage\\Refused1") == (level == "INFO")
    assert lines.count('abstract_syntaxes = ["CTImageStorage"]') == (level == "INFO")
    assert "Verification" not in "".join(lines), "it was accepted"


def test_a_bad_application_context_is_rejected_without_asking_plugins(worker: ScriptedWorker) -> None:
    request = REQUEST.replace(b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.3.1.1.2")
    connection = worker.play(ECHO, request=request)
    assert read_pdus(connection.sent) == [(ASSOCIATE_RJ, bytes((0, 1, 1, 2)))]
    assert worker.recorder.asked == 0
    assert worker.recorder.ends == []


def test_a_broken_request_is_aborted(worker: ScriptedWorker) -> None:
    connection = worker.play(request=REQUEST[:76] + b"\xff\xff" + REQUEST[78:])
    assert read_pdus(connection.sent) == [(ABORT, bytes(4))]
    assert worker.recorder.ends == []


def test_a_storage_plugin_enables_the_storage_contexts(make: Make) -> None:
    worker = make(promiscuous=False)  # the recorder implements `receive`
    connection = worker.play(store(1), RELEASE)
    assert responses(connection.sent) == [(1, 0)]


def identified(password: bytes) -> bytes:
    """The request with a user identity that asks for a response (PS3.7 D.3.3.7)."""
    identity = item(0x58, bytes((2, 1)), *(struct.pack(">H", len(text)) + text for text in (b"user", password)))
    user_at = REQUEST.index(item(0x51, struct.pack(">I", 16384))) - 4
    user = REQUEST[user_at + 4 :] + identity
    return pdu(1, REQUEST[6:user_at] + item(0x50, user))


def test_requests_are_cached_but_negotiated_each_time(worker: ScriptedWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = count_calls(monkeypatch)
    for _ in range(3):
        worker.play(RELEASE)
    worker.play(RELEASE, request=associate_rq([(VERIFICATION, [IMPLICIT_LE])]))
    worker.play(RELEASE)
    answers = {
        worker.play(RELEASE, request=associate_rq(CONTEXTS, calling=f"TITLE{number}")).sent for number in range(3)
    }
    assert len(decoded) == 2, "the same proposal from any sender"
    assert len(answers) == 3, "each with its own titles"
    assert worker.recorder.asked == 8


def count_calls(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    calls: list[bytes] = []
    decode = caches.decode_items

    def counted(items: bytes) -> object:
        calls.append(items)
        return decode(items)

    monkeypatch.setattr(caches, "decode_items", counted)
    return calls


def test_a_request_with_a_user_identity_is_never_cached(
    worker: ScriptedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = count_calls(monkeypatch)
    request = identified(b"secret")
    for _ in range(2):
        connection = worker.play(RELEASE, request=request)
        assert b"\x59\x00\x00\x02\x00\x00" in connection.sent, "a positive response was asked for"
    assert len(decoded) == 2
    assert not [items for items in worker.shared.proposals._cached if b"secret" in items]
    identity = worker.recorder.ends[0][0].user_identity
    assert identity is not None
    assert (identity.primary, identity.secondary) == (b"user", b"secret")


def test_the_proposal_cache_is_bounded(worker: ScriptedWorker) -> None:
    def padded(number: int, size: int) -> bytes:
        filler = item(0x77, b"%06d" % number + bytes(50_000))
        return pdu(1, REQUEST[6:] + filler * size)

    for number in range(30):
        worker.shared.decode(padded(number, 1)[6:])
    assert 15 < len(worker.shared.proposals._cached) < 25
    worker.shared.decode(padded(99, 20)[6:])
    for number in range(300):
        worker.shared.decode(REQUEST[6:] + item(0x77, b"%06d" % number))
    assert len(worker.shared.proposals._cached) == caches.MAX_PROPOSALS
    assert worker.shared.proposals._size == sum(map(len, worker.shared.proposals._cached))


def test_results_for_the_same_objects_are_cached() -> None:
    calls: list[tuple[object, object]] = []

    def function(one: object, other: object) -> int:
        calls.append((one, other))
        return len(calls)

    cached = caches.IdentityCache(function)
    one, other, equal = [1], [2], [1]
    assert [cached(one, other), cached(one, other), cached(equal, other), cached(other, one)] == [1, 1, 2, 3]
    for number in range(1000):
        cached([number], other)  # without the cache these objects would end, and others get the same id
    assert len(calls) == 1003
    assert len(cached._cached) == caches.MAX_RESULTS


# Peers that do not read


def test_pipelined_stores_are_answered_while_the_peer_does_not_read(worker: ScriptedWorker) -> None:
    playing = FakeConnection(worker.clock, [b"".join(store(number) for number in range(1, 65))], 300)

    def read() -> None:
        playing.room = None

    playing.script.extend([None, None, read, RELEASE])
    worker.run(playing)
    assert responses(playing.sent) == [(number, 0) for number in range(1, 65)]
    assert read_pdus(playing.sent)[-1][0] == RELEASE_RP
    assert len(worker.files) == 64
    assert worker.summary.ended == Ended.RELEASED


def test_a_peer_that_reads_slowly_gets_its_responses_without_sending_more(worker: ScriptedWorker) -> None:
    playing = FakeConnection(worker.clock, [b"".join(store(number) for number in range(1, 9))], 200)

    def more() -> None:
        playing.room = 100

    playing.script.extend([*[more] * 30, RELEASE])
    before = worker.clock.now
    worker.run(playing)
    assert responses(playing.sent) == [(number, 0) for number in range(1, 9)]
    assert worker.clock.now - before < CALL_TIMEOUT, "it waited for the peer to say something"


def test_a_peer_that_reads_no_response_is_aborted(worker: ScriptedWorker) -> None:
    worker.play(store(1), room=300)
    assert worker.summary.ended == Ended.FAILED
    assert worker.summary.stored == 1
    assert worker.summary.seconds == pytest.approx(Settings().progress_timeout, abs=2 * CALL_TIMEOUT)


def test_unread_responses_are_bounded(worker: ScriptedWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "MAX_PENDING_OUTPUT", 1000)
    worker.play(*[ECHO] * 100, room=300)
    assert worker.summary.ended == Ended.FAILED
    assert worker.summary.seconds == pytest.approx(Settings().progress_timeout, abs=2 * CALL_TIMEOUT)
    assert MAX_PENDING_OUTPUT > 64 * 200


# Peers that are quiet


def test_a_quiet_peer_is_aborted_when_its_time_is_over(make: Make) -> None:
    worker = make(dimse_timeout=5)
    connection = worker.play(*[None] * 9, ECHO, *[None] * 9, store(1), *[None] * 9, RELEASE)
    assert read_pdus(connection.sent)[-1][0] == RELEASE_RP, "quiet for less than that is no fault"
    connection = worker.play()
    assert read_pdus(connection.sent)[-1] == (ABORT, bytes((0, 0, 2, 0)))
    assert [summary.ended for _, summary in worker.recorder.ends] == [Ended.RELEASED, Ended.FAILED]
    assert worker.recorder.ends[1][1].seconds == 5.0


def test_a_quiet_peer_may_stay_between_messages(worker: ScriptedWorker) -> None:
    connection = worker.play(ECHO, *[None] * 10_000, ECHO, RELEASE)
    assert responses(connection.sent) == [(7, 0), (7, 0)]
    assert worker.summary.ended == Ended.RELEASED


@pytest.mark.parametrize("bytes_said", [-10, 40], ids=["data-set", "command"])
def test_a_quiet_peer_must_not_stay_inside_a_message(worker: ScriptedWorker, bytes_said: int) -> None:
    said = store(1)
    connection = worker.play(*[None] * 500, said[:bytes_said], *[None] * 119, said[bytes_said:][:1], *[None] * 121)
    assert read_pdus(connection.sent)[1:] == [(ABORT, bytes((0, 0, 2, 0)))]
    assert worker.files == []
    assert worker.summary.ended == Ended.FAILED
    assert worker.summary.seconds == pytest.approx(250 + 2 * Settings().progress_timeout, abs=2 * CALL_TIMEOUT)


@pytest.mark.parametrize(
    "said", [ECHO[:1], ECHO[:5], RELEASE[:5], RELEASE[:7]], ids=["1", "5", "release-5", "release-7"]
)
def test_a_pdu_has_begun_with_its_first_byte(worker: ScriptedWorker, said: bytes) -> None:
    connection = worker.play(said)
    assert read_pdus(connection.sent)[1:] == [(ABORT, bytes((0, 0, 2, 0)))]
    assert worker.summary.seconds == pytest.approx(Settings().progress_timeout, abs=2 * CALL_TIMEOUT)


# Ends


@pytest.mark.parametrize("said", [b"", ECHO, store(1)[:-10], store(1)[:40], RELEASE[:3]], ids=ids_of)
@pytest.mark.parametrize("end", [EOF, RESET], ids=["fin", "reset"])
def test_connections_that_break(worker: ScriptedWorker, said: bytes, end: Step) -> None:
    worker.play(store(7), *([said] if said else []), end)
    assert worker.files == [f"CT.{INSTANCE}.7"]
    assert worker.summary.ended == Ended.CLOSED
    assert worker.summary.stored == 1


@pytest.mark.parametrize("within", [False, True])
def test_the_peer_aborts(worker: ScriptedWorker, within: bool) -> None:
    connection = worker.play(store(7), (store(1, last=False) if within else b"") + pdu(ABORT, bytes(4)))
    assert [kind for kind, _ in read_pdus(connection.sent)] == [ASSOCIATE_AC, P_DATA]
    assert worker.files == [f"CT.{INSTANCE}.7"]
    assert worker.summary.ended == Ended.ABORTED


def test_release_within_a_message(worker: ScriptedWorker) -> None:
    connection = worker.play(store(7), store(1, last=False) + RELEASE, None)
    assert [kind for kind, _ in read_pdus(connection.sent)] == [ASSOCIATE_AC, P_DATA, RELEASE_RP]
    assert worker.files == [f"CT.{INSTANCE}.7"]
    assert worker.summary.ended == Ended.RELEASED


@pytest.mark.parametrize(
    ("more", "reason"),
    [(REQUEST, 2), (b"\x08\0\0\0\0\0", 1), (pdu(ABORT, bytes(2)), 6)],
    ids=["request", "unrecognized", "invalid"],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_request_after_the_release_is_answered_once(
    worker: ScriptedWorker, more: bytes, reason: int, at_once: bool
) -> None:
    connection = worker.play(*([RELEASE + more] if at_once else [RELEASE, more]), more, ECHO, RELEASE)
    assert read_pdus(connection.sent)[1:] == [(RELEASE_RP, bytes(4)), (ABORT, bytes((0, 0, 2, reason)))]
    assert worker.summary.ended == Ended.RELEASED


@pytest.mark.parametrize("more", [ECHO, RELEASE, pdu(ASSOCIATE_AC, bytes(68)), pdu(ABORT, bytes(4)) + REQUEST])
def test_all_else_after_the_release_is_ignored(worker: ScriptedWorker, more: bytes) -> None:
    connection = worker.play(store(1) + RELEASE, more, EOF)
    assert [kind for kind, _ in read_pdus(connection.sent)[2:]] == [RELEASE_RP]
    assert worker.files == [f"CT.{INSTANCE}.1"]


@pytest.mark.parametrize("end", [EOF, RESET, None], ids=["fin", "reset", "nothing"])
def test_the_wait_for_the_peer_to_close_is_short_and_not_counted(worker: ScriptedWorker, end: Step) -> None:
    before = worker.clock.now
    worker.play(RELEASE, end)
    assert worker.clock.now - before == pytest.approx(LINGER if end is None else 0)
    assert worker.summary.seconds == 0


@pytest.mark.parametrize("within", [False, True])
def test_a_protocol_error(worker: ScriptedWorker, within: bool) -> None:
    connection = worker.play(store(7), (store(1, last=False) if within else b"") + pdu(ASSOCIATE_AC, bytes(100)))
    assert read_pdus(connection.sent)[2:] == [(ABORT, bytes((0, 0, 2, 2)))]
    assert worker.files == [f"CT.{INSTANCE}.7"]
    assert worker.summary.ended == Ended.FAILED


def test_a_half_close_after_pipelined_stores_is_answered(worker: ScriptedWorker) -> None:
    playing = FakeConnection(worker.clock, [b"".join(store(number) for number in range(1, 9)), EOF], 300)

    def read() -> None:
        playing.room = 100

    playing.script.extend([read] * 30)
    worker.run(playing)
    assert responses(playing.sent) == [(number, 0) for number in range(1, 9)]
    assert worker.summary.ended == Ended.CLOSED


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("end", [RELEASE, EOF, RESET], ids=["release", "fin", "reset"])
def test_messages_from_before_the_connection_broke_are_kept(worker: ScriptedWorker, at: int, end: Step) -> None:
    """The AC, a response or the answer to its release can no longer be sent, but there is more to read."""
    playing = FakeConnection(worker.clock, [])

    def broken() -> None:
        playing.send_error = BrokenPipeError(32, "Broken pipe")

    script: list[Step] = [store(1), store(2), end]
    script.insert(at, broken)
    playing.script.extend(script)
    if not at:
        broken()
    worker.run(playing)
    assert len(worker.files) == 2
    assert worker.summary.ended == (Ended.RELEASED if end == RELEASE else Ended.CLOSED)


# The receiver is told to stop


def test_stop_between_instances_begins_no_other(worker: ScriptedWorker) -> None:
    connection = worker.play(store(1), lambda: worker.stop.add(True), store(2), store(3))
    assert responses(connection.sent) == [(1, 0)]
    assert read_pdus(connection.sent)[-1] == (ABORT, bytes((0, 0, 2, 0)))
    assert worker.summary.ended == Ended.STOPPED


def test_stop_while_quiet(worker: ScriptedWorker) -> None:
    connection = worker.play(store(1), lambda: worker.stop.add(True), None, store(2))
    assert responses(connection.sent) == [(1, 0)]
    assert worker.summary.ended == Ended.STOPPED


def test_stop_within_an_instance_finishes_it_and_no_more(worker: ScriptedWorker) -> None:
    first, second = store(1), store(2)
    connection = worker.play(first[:300], lambda: worker.stop.add(True), None, first[300:] + second, store(3))
    assert responses(connection.sent) == [(1, 0)]
    assert read_pdus(connection.sent)[-1] == (ABORT, bytes((0, 0, 2, 0)))
    assert worker.files == [f"CT.{INSTANCE}.1"]
    assert worker.summary.ended == Ended.STOPPED


def test_stop_within_an_instance_whose_grace_is_over(worker: ScriptedWorker) -> None:
    connection = worker.play(store(1)[:300], lambda: worker.stop.update((True, False)), None)
    assert read_pdus(connection.sent)[1:] == [(ABORT, bytes((0, 0, 2, 0)))]
    assert worker.files == []
    assert worker.summary.ended == Ended.STOPPED


def test_stop_ends_a_peer_that_sends_slowly_when_the_grace_is_over(worker: ScriptedWorker) -> None:
    said = store(1)
    drops: list[Step] = [said[at : at + 1] for at in range(300, len(said))]
    connection = worker.play(said[:300], lambda: worker.stop.update((True, False)), *drops, RELEASE)
    assert read_pdus(connection.sent)[1:] == [(ABORT, bytes((0, 0, 2, 0)))]
    assert worker.files == []


def test_stop_does_not_wait_for_a_peer_that_does_not_read(worker: ScriptedWorker) -> None:
    playing = FakeConnection(worker.clock, [], 300)
    playing.script.extend([store(1) + store(2), lambda: worker.stop.update((True, False))])
    worker.run(playing)
    assert worker.summary.ended == Ended.STOPPED
    assert worker.summary.seconds < 2


@pytest.mark.parametrize(
    ("useless", "why"), [(False, "the receiver is told to end"), (True, "no file descriptor is free")]
)
def test_why_it_stops(worker: ScriptedWorker, caplog: pytest.LogCaptureFixture, useless: bool, why: str) -> None:
    """A worker that has once had no descriptor free may still be told to end for another reason."""
    guard = worker.shared.plugins.limits.descriptors
    for _ in range(2 if useless else 1):
        guard.refused(OSError(errno.EMFILE, "Too many open files"))
    worker.play(lambda: worker.stop.add(True))
    assert worker.summary.ended == (Ended.FAILED if useless else Ended.STOPPED)
    assert f"aborting association with RAWSCU (10.0.0.1) to ANY: {why}" in caplog.text


def test_an_incomplete_request_is_logged(
    make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without the compiled parts the log has the request, and how much of it has arrived."""

    def said() -> list[str]:
        caplog.clear()
        data = store(1)
        worker, asked = make(), iter([False] * 40)
        worker.shared.should_stop = lambda between: next(asked, True)
        worker.play(*(data[start : start + 10] for start in range(0, len(data) - 20, 10)))
        return sorted(re.sub(r"after [\d.]+ s", "", record.getMessage()) for record in caplog.records)

    caplog.set_level("INFO")
    told = said()
    monkeypatch.setattr(compiled, "AVAILABLE", False)
    assert told == said()
    assert any("Unable to receive" in line for line in told)
