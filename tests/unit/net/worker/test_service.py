"""DIMSE-N requests from their first byte to the plugin's response, over a scripted connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dcmrecv_core import Association, Request, Response, StatusError, SupportedContext, hookimpl
from dcmrecv_core.api.outcomes import Ended
from dcmrecv_core.dataset.encodings import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dcmrecv_core.net.worker import session as session_module
from dcmrecv_core.receive import replacement, request
from support.data.datasets import deflate
from support.plugins import found
from support.protocol.pdus import (
    ABORT,
    P_DATA,
    abort,
    associate_rq,
    command_set,
    data_pdus,
    parse_command,
    read_pdus,
    read_pdvs,
)
from support.protocol.scripted_connection import EOF, Clock, FakeConnection
from support.protocol.scripted_worker import RELEASE, Make, ScriptedWorker, store
from support.uids import CT, DEFLATED, EXPLICIT_LE, IMPLICIT_LE

COMMITMENT = "1.2.840.10008.1.20.1"
INSTANCE = "1.2.840.10008.1.20.1.1"
SYNTAXES = {1: EXPLICIT_LE, 3: IMPLICIT_LE, 5: DEFLATED}
REQUEST = associate_rq([(CT, [EXPLICIT_LE]), (COMMITMENT, [IMPLICIT_LE]), (COMMITMENT, [DEFLATED])])

Serve = Callable[[Association, Request], Any]


class Service:
    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.asked: list[Request] = []

    @hookimpl
    def negotiate(self) -> list[SupportedContext]:
        return [SupportedContext(COMMITMENT, None), SupportedContext(CT, None)]

    @hookimpl
    def serve(self, association: Association, request: Request) -> Any:
        self.asked.append(request)
        return self._serve(association, request)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    clock = Clock()
    monkeypatch.setattr(session_module, "time", clock)

    def made(serve: Serve, **settings: Any) -> ScriptedWorker:
        worker = ScriptedWorker(tmp_path, clock, **settings)
        worker.shared.plugins.add(found(Service(serve), "commitment"), named=True)
        worker.shared.serves = True
        return worker

    yield made
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")], "something is left over"


def identifier(count: int = 1) -> Dataset:
    dataset = Dataset()
    dataset.TransactionUID = "1.2.3"
    items = []
    for number in range(count):
        item = Dataset()
        item.ReferencedSOPClassUID = CT
        item.ReferencedSOPInstanceUID = f"1.2.3.{number}"
        items.append(item)
    dataset.ReferencedSOPSequence = items
    return dataset


def action(data: bytes | None = None, message_id: int = 7, context_id: int = 3) -> bytes:
    elements = {0x0003: COMMITMENT, 0x0100: 0x0130, 0x0110: message_id, 0x1001: INSTANCE, 0x1008: 1}
    elements[0x0800] = 0x0101 if data is None else 0
    said = b"".join(data_pdus(context_id, [command_set(elements)], is_command=True))
    return said if data is None else said + b"".join(data_pdus(context_id, [data], is_command=False))


def answers(sent: bytes) -> list[tuple[int, int, bytes]]:
    """(Message ID, status, data set) of each response."""
    found: list[tuple[int, int, bytes]] = []
    command = b""
    for kind, body in read_pdus(sent):
        for _, control, fragment in read_pdvs(body) if kind == P_DATA else ():
            if control & 1:
                command += fragment
                if control & 2:
                    elements = parse_command(command)
                    number, status = (int.from_bytes(elements[tag], "little") for tag in (0x0120, 0x0900))
                    found.append((number, status, b""))
                    command = b""
            else:
                number, status, data = found[-1]
                found[-1] = number, status, data + fragment
    return found


def play(worker: ScriptedWorker, *script: Any) -> FakeConnection:
    return worker.play(*script, request=REQUEST)


@pytest.mark.parametrize("step", [1, 7, 1 << 20], ids=lambda step: f"by-{step}")
@pytest.mark.parametrize("count", [1, 3000], ids=["small", "more-than-64-KiB"])
def test_the_plugin_gets_the_whole_data_set(make: Make, step: int, count: int) -> None:
    seen: list[Any] = []

    def serve(association: Association, request: Request) -> Response:
        assert request.dataset is request.dataset
        seen.append((request.transfer_syntax_uid, request.dataset))
        return Response(0)

    said = action(replacement.encode(identifier(count), IMPLICIT_LITTLE)) + RELEASE
    if step < len(said) // 1000 and count > 1:
        step = 1000
    worker = make(serve)
    connection = play(worker, *(said[at : at + step] for at in range(0, len(said), step)))
    assert answers(connection.sent) == [(7, 0, b"")]
    assert seen == [(IMPLICIT_LE, identifier(count))]
    assert worker.summary.ended is Ended.RELEASED
    assert (worker.summary.stored, worker.summary.refused, worker.summary.bytes) == (0, 0, 0)


def test_a_deflated_data_set_and_response(make: Make) -> None:
    reply = identifier(2)
    worker = make(lambda association, request: Response(0, request.dataset and reply))
    data = deflate(replacement.encode(identifier(), EXPLICIT_LITTLE))
    [(_, status, sent)] = answers(play(worker, action(data, context_id=5), RELEASE).sent)
    assert (status, request.decode(sent, DEFLATED)) == (0, reply)


def test_without_a_data_set(make: Make) -> None:
    worker = make(lambda association, request: Response(0x0110 if request.dataset else 0))
    assert answers(play(worker, action(), RELEASE).sent) == [(7, 0, b"")]


def test_requests_are_answered_in_order_among_stores(make: Make) -> None:
    data = replacement.encode(identifier(), IMPLICIT_LITTLE)
    worker = make(lambda association, request: Response(0, identifier()))
    said = store(1) + action(data, 2) + action(None, 3) + store(4) + action(data, 5) + RELEASE
    sent = answers(play(worker, said).sent)
    assert [(number, status) for number, status, _ in sent] == [(1, 0), (2, 0), (3, 0), (4, 0), (5, 0)]
    assert [bool(reply) for _, _, reply in sent] == [False, True, True, False, True]
    assert len(worker.files) == 2


@pytest.mark.parametrize("result", [None, 0, "Success"])
def test_results_that_are_no_response(make: Make, result: object, caplog: pytest.LogCaptureFixture) -> None:
    worker = make(lambda association, request: result)
    sent = answers(play(worker, action(), action(None, 8), RELEASE).sent)
    assert sent == [(7, 0x0211 if result is None else 0x0110, b""), (8, 0x0211 if result is None else 0x0110, b"")]
    assert ("plugin commitment: serve" in caplog.text) == (result is not None)


def raising(error: BaseException) -> Serve:
    def serve(association: Association, request: Request) -> Response:
        raise error

    return serve


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyError("no"), 0x0110),
        (StatusError(0x0112, "no such"), 0x0112),
        (SystemExit(), 0x0110),
        (MemoryError(), 0x0110),
    ],
    ids=repr,
)
def test_a_plugin_that_raises(make: Make, error: BaseException, status: int) -> None:
    worker = make(raising(error))
    assert answers(play(worker, action(), store(9), RELEASE).sent) == [(7, status, b""), (9, 0, b"")]


def unwritable() -> Dataset:
    dataset = Dataset()
    dataset.add_new(0x00280010, "US", "many")
    return dataset


def test_a_response_that_cannot_be_encoded(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    worker = make(lambda association, request: Response(0, unwritable()))
    assert answers(play(worker, action(), store(9), RELEASE).sent) == [(7, 0x0110, b""), (9, 0, b"")]
    assert "plugin commitment: serve: " in caplog.text


@pytest.mark.parametrize(
    ("elements", "response"),
    [
        ({0x0003: COMMITMENT, 0x0100: 0x0150, 0x1001: INSTANCE}, Response(0, identifier())),
        ({0x0002: COMMITMENT, 0x0100: 0x0140}, Response(0)),
    ],
    ids=["delete-with-data", "create-without-a-name"],
)
def test_responses_that_the_service_does_not_allow(
    make: Make, elements: dict[int, Any], response: Response, caplog: pytest.LogCaptureFixture
) -> None:
    worker = make(lambda association, request: response)
    command = command_set({**elements, 0x0110: 7, 0x0800: 0x0101})
    said = b"".join(data_pdus(3, [command], is_command=True))
    assert answers(play(worker, said, RELEASE).sent) == [(7, 0x0110, b"")]
    assert "plugin commitment: serve: ValueError" in caplog.text


@pytest.mark.parametrize("data", [b"no data set", b"\x08\0\x99\x11\xff\xff\xff\x7f"])
def test_a_data_set_that_cannot_be_understood(make: Make, data: bytes) -> None:
    worker = make(lambda association, request: Response(0, request.dataset))
    [(number, status, _)] = answers(play(worker, action(data + bytes(len(data) % 2)), RELEASE).sent)
    assert (number, status) == (7, 0x0110)
    worker = make(lambda association, request: Response(0))
    assert answers(play(worker, action(data), RELEASE).sent) == [(7, 0, b"")], "no plugin has looked"


def test_a_data_set_that_is_too_large(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read to its end, no plugin is asked, and the association lives."""
    monkeypatch.setattr(request, "MAX_DATA_SET", 1000)
    asked: list[Request] = []

    def serve(association: Association, request: Request) -> Response:
        asked.append(request)
        return Response(0)

    worker = make(serve)
    sent = answers(play(worker, action(bytes(1001)), action(bytes(1000), 8), store(9), RELEASE).sent)
    assert sent == [(7, 0x0213, b""), (8, 0, b""), (9, 0, b"")]
    assert len(asked) == 1


def test_a_data_set_that_inflates_to_more(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "MAX_DATA_SET", 1000)
    worker = make(lambda association, request: Response(0, request.dataset))
    data = deflate(replacement.encode(identifier(100), EXPLICIT_LITTLE))
    assert len(data) < 1000
    assert answers(play(worker, action(data, context_id=5), RELEASE).sent) == [(7, 0x0213, b"")]


@pytest.mark.parametrize(("end", "ended"), [(abort(0, 0), Ended.ABORTED), (b"", Ended.CLOSED)], ids=["abort", "close"])
def test_an_end_within_a_request(make: Make, end: bytes, ended: Ended, caplog: pytest.LogCaptureFixture) -> None:
    worker = make(raising(AssertionError("not complete")))
    elements = {0x0003: COMMITMENT, 0x0100: 0x0130, 0x0110: 7, 0x1001: INSTANCE, 0x1008: 1, 0x0800: 0}
    begun = b"".join(data_pdus(3, [command_set(elements)], is_command=True))
    begun += b"".join(data_pdus(3, [b"part" * 10], is_command=False, last=False, max_pdu=26))
    connection = play(worker, begun, end or EOF)
    assert answers(connection.sent) == []
    assert worker.summary.ended is ended
    assert "N-ACTION Request from RAWSCU (10.0.0.1) to ANY is not complete" in caplog.text


def test_a_worker_that_is_told_to_end_finishes_the_request(make: Make) -> None:
    worker = make(lambda association, request: Response(0))
    data = replacement.encode(identifier(), IMPLICIT_LITTLE)
    said = action(data)

    connection = FakeConnection(worker.clock, [said[:-5], lambda: worker.stop.add(True), said[-5:], action()])
    worker.run(connection, REQUEST)
    assert answers(connection.sent) == [(7, 0, b"")]
    assert read_pdus(connection.sent)[-1][0] == ABORT, "the next one is not begun"
    assert worker.summary.ended is Ended.STOPPED
