"""DIMSE-N requests as plugins see them, and their responses (PS3.7 section 10.3)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynetdicom import dimse_messages
from pynetdicom.pdu import P_DATA_TF

from dcmrecv_core import Command, EventReport, Response, Service
from dcmrecv_core.api.verdicts import SupportedContext
from dcmrecv_core.proto import events, negotiation
from dcmrecv_core.proto.acceptor import Acceptor
from support.protocol import pdus
from support.protocol.acceptor_runs import taken
from support.uids import IMPLICIT_LE

CLASS = "1.2.840.10008.1.20.1"
INSTANCE = "1.2.840.10008.1.20.1.1"
REQUESTED = {0x0003: CLASS, 0x1001: INSTANCE}
AFFECTED = {0x0002: CLASS, 0x1000: INSTANCE}
REQUESTS: dict[Service, dict[int, Any]] = {
    Service.N_EVENT_REPORT: {**AFFECTED, 0x1002: 2},
    Service.N_GET: {**REQUESTED, 0x1005: b"\x10\0\x20\0\x10\0\x10\0"},
    Service.N_SET: REQUESTED,
    Service.N_ACTION: {**REQUESTED, 0x1008: 1},
    Service.N_CREATE: AFFECTED,
    Service.N_DELETE: REQUESTED,
}
READ = {
    Service.N_EVENT_REPORT: Command(Service.N_EVENT_REPORT, 7, CLASS, INSTANCE, event_type_id=2),
    Service.N_GET: Command(Service.N_GET, 7, CLASS, INSTANCE, attributes=(0x00100020, 0x00100010)),
    Service.N_SET: Command(Service.N_SET, 7, CLASS, INSTANCE),
    Service.N_ACTION: Command(Service.N_ACTION, 7, CLASS, INSTANCE, action_type_id=1),
    Service.N_CREATE: Command(Service.N_CREATE, 7, CLASS, INSTANCE),
    Service.N_DELETE: Command(Service.N_DELETE, 7, CLASS, INSTANCE),
}


def request_of(service: Service, data: bytes | None = None, **changes: Any) -> bytes:
    elements = {**REQUESTS[service], 0x0100: service.value, 0x0110: 7, 0x0800: 0x0101 if data is None else 0}
    for tag, value in changes.items():
        elements.pop(int(tag[1:], 16))
        if value is not None:
            elements[int(tag[1:], 16)] = value
    return pdus.message(1, elements, data)


class Serving:
    """An acceptor that serves; `heard` is what it was asked, with the data sets."""

    def __init__(self, response: Response | None = None, data: bytes | None = None, **options: Any) -> None:
        limit = options.pop("limit", 16384)
        self.acceptor = Acceptor(
            bytearray(1 << 16),
            max_pdu=16384,
            implementation_class_uid="1.2.3",
            implementation_version_name="TEST",
            **{"serves": True, **options},
        )
        self.heard: list[Any] = []
        self.response, self.data = response or Response(0), data
        self._pending: events.ServiceRequested | None = None
        self._collected = b""
        user = (pdus.max_length(limit), *pdus.IDENTIFICATION)
        self.feed(pdus.request([pdus.context(1, CLASS, IMPLICIT_LE)], user), 1000)
        taken(self.acceptor)

    def feed(self, stream: bytes, step: int) -> bytes:
        for start in range(0, len(stream), step):
            piece = stream[start : start + step]
            self.acceptor.get_buffer()[: len(piece)] = piece
            self.acceptor.buffer_updated(len(piece))
            while (event := self.acceptor.next_event()) is not None:
                self._take(event)
        return taken(self.acceptor)

    def _take(self, event: events.Event) -> None:
        match event:
            case events.AssociateRequested(request):
                proposed = negotiation.proposed_contexts(request.contexts, {}, {})
                self.acceptor.accept(negotiation.negotiate(proposed, (SupportedContext(CLASS, None),)))
            case events.ServiceRequested(_, command, _, syntax):
                assert syntax == IMPLICIT_LE
                self._pending, self._collected = event, b""
                if not command.has_data_set:
                    self._answer(None)
            case events.DataReceived(fragments, last):
                self._collected += b"".join(fragments)
                if last:
                    self._answer(self._collected)
            case _:
                self.heard.append(event)

    def _answer(self, data: bytes | None) -> None:
        assert self._pending is not None
        self.heard.append((self._pending.request, data))
        self.acceptor.respond_to_service(1, self._pending.request, self.response, self.data)


def talk(stream: bytes, **options: Any) -> tuple[Serving, bytes]:
    """Fed whole and byte by byte, with the same results."""
    whole, single = Serving(**options), Serving(**options)
    sent = whole.feed(stream + pdus.release_rq(), len(stream) + 9)
    assert single.feed(stream + pdus.release_rq(), 1) == sent
    assert [repr(entry) for entry in single.heard] == [repr(entry) for entry in whole.heard]
    return whole, sent[:-10]


@pytest.mark.parametrize("data", [None, b"data"])
@pytest.mark.parametrize("service", Service, ids=lambda service: service.name)
def test_requests(service: Service, data: bytes | None) -> None:
    serving, _ = talk(request_of(service, data))
    assert serving.heard[0] == (READ[service], data)


@pytest.mark.parametrize("data", [None, b"reply!"])
@pytest.mark.parametrize("service", Service, ids=lambda service: service.name)
def test_pynetdicom_reads_the_response(service: Service, data: bytes | None) -> None:
    response = Response(0x0107, comment="not all of it", affected_sop_instance_uid="1.2.3")
    _, sent = talk(request_of(service), response=response, data=data)
    message = getattr(dimse_messages, f"{service.name}_RSP")()
    for kind, body in pdus.read_pdus(sent):
        p_data = P_DATA_TF()
        p_data.decode(pdus.pdu(kind, body))
        message.decode_msg(p_data.to_primitive())
    read = message.message_to_primitive()
    assert (read.MessageIDBeingRespondedTo, read.Status) == (7, 0x0107)
    assert (read.AffectedSOPClassUID, read.AffectedSOPInstanceUID) == (CLASS, "1.2.3")
    assert read.ErrorComment == "not all of it"
    if service is Service.N_EVENT_REPORT:
        assert read.EventTypeID == 2
    if service is Service.N_ACTION:
        assert read.ActionTypeID == 1
    assert message.data_set.getvalue() == (data or b"")


def test_bytes_of_a_response() -> None:
    _, sent = talk(request_of(Service.N_ACTION), data=b"ab", limit=0)
    assert sent == pdus.hexa("""
        04 00 0000007e                     ; P-DATA-TF
        0000007a 01 03                     ; PDV on context 1: command, last
        0000 0000 04000000 6c000000        ; group length 108
        0000 0200 14000000 312e322e3834302e31303030382e312e32302e31 ; Affected SOP Class UID
        0000 0001 02000000 3081            ; N-ACTION-RSP
        0000 2001 02000000 0700            ; to message 7
        0000 0008 02000000 0100            ; with a data set
        0000 0009 02000000 0000            ; Success
        0000 0010 16000000 312e322e3834302e31303030382e312e32302e312e31 ; Affected SOP Instance UID
        0000 0810 02000000 0100            ; Action Type ID
        04 00 00000008 00000004 01 02 6162 ; the data set: last
    """)


@pytest.mark.parametrize(
    ("stream", "status"),
    [
        (request_of(Service.N_ACTION, x0003=None), 0x0118),
        (request_of(Service.N_CREATE, x0002="1" * 65), 0x0118),
        (request_of(Service.N_GET, x1001=None), 0x0117),
        (request_of(Service.N_SET, b"data", x1001="1" * 65), 0x0117),
        (request_of(Service.N_EVENT_REPORT, x1002=None), 0x0113),
        (request_of(Service.N_ACTION, b"data", x1008=b""), 0x0123),
    ],
)
def test_what_no_plugin_could_understand_is_refused(stream: bytes, status: int) -> None:
    serving, sent = talk(stream + request_of(Service.N_DELETE))
    refused, served = serving.heard[:2]
    assert isinstance(refused, events.CommandRefused) and refused.status == status
    assert [answer[3] for answer in pdus.statuses(sent)] == [status, 0]
    assert served == (READ[Service.N_DELETE], None)


def test_an_instance_may_be_created_without_a_name() -> None:
    serving, sent = talk(
        request_of(Service.N_CREATE, x1000=None), response=Response(0, affected_sop_instance_uid="1.5")
    )
    assert serving.heard[0] == (Command(Service.N_CREATE, 7, CLASS), None)
    [(_, elements)] = pdus.read_commands(sent)
    assert elements[0x1000] == b"1.5\0"


@pytest.mark.parametrize("strict", [False, True])
def test_unfit_characters(strict: bool) -> None:
    serving, sent = talk(request_of(Service.N_DELETE, x1001="../1.2"), strict=strict)
    assert [answer[3] for answer in pdus.statuses(sent)] == [0x0117 if strict else 0]
    assert isinstance(serving.heard[0], events.CommandRefused if strict else events.Notice)


@pytest.mark.parametrize("field", [0x0010, 0x0020, 0x0021, *(service.value for service in Service)])
def test_without_a_server_and_for_queries_it_is_not_recognized(field: int) -> None:
    elements = {**AFFECTED, **REQUESTED, 0x0100: field, 0x0110: 7, 0x0800: 0}
    serving, sent = talk(pdus.message(1, elements, b"identifier"), serves=field in (0x0010, 0x0020, 0x0021))
    assert [answer[3] for answer in pdus.statuses(sent)] == [0x0211]
    assert isinstance(serving.heard[0], events.CommandRefused)


@settings(max_examples=60, deadline=None)
@given(limit=st.integers(8, 300), data=st.binary(min_size=1, max_size=900))
def test_responses_fit_the_peers_maximum(limit: int, data: bytes) -> None:
    data += bytes(len(data) % 2)
    _, sent = talk(request_of(Service.N_GET), data=data, limit=limit)
    command, found = b"", b""
    for kind, body in pdus.read_pdus(sent):
        assert kind == pdus.P_DATA and len(body) <= limit
        [(number, control, fragment)] = pdus.read_pdvs(body)
        assert number == 1 and len(fragment) % 2 == 0
        if control & 1:
            command += fragment
        else:
            found += fragment
    assert found == data
    assert pdus.parse_command(command)[0x0800] != b"\x01\x01"


@pytest.mark.parametrize(
    "arguments",
    [
        {"status": 0x10000},
        {"status": -1},
        {"status": 0, "event_type_id": 70000},
        {"status": 0, "affected_sop_instance_uid": "1.2/3"},
        {"status": 0, "affected_sop_instance_uid": "1" * 65},
    ],
    ids=repr,
)
def test_a_response_checks_itself(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expected|bits"):
        Response(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [{"status": None}, {"status": "0"}, {"status": 0, "comment": None}, {"status": 0, "dataset": b"bytes"}],
    ids=repr,
)
def test_a_response_checks_the_types(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Response(**arguments)


class Reporting(Serving):
    """Sends a report after each response, under the Message IDs 1, 2 ..."""

    report_data: bytes | None = b"report"
    reports = 0

    def _answer(self, data: bytes | None) -> None:
        super()._answer(data)
        self.reports += 1
        self.acceptor.report(1, self.reports, EventReport(2, CLASS, INSTANCE), self.report_data)


def report_response(message_id: int = 1, data: bytes | None = None, **changes: Any) -> bytes:
    elements = {0x0002: CLASS, 0x0100: 0x8100, 0x0120: message_id, 0x0800: 0x0101 if data is None else 0, 0x0900: 0}
    elements |= {int(tag[1:], 16): value for tag, value in changes.items() if value is not None}
    for tag in [tag for tag, value in changes.items() if value is None]:
        del elements[int(tag[1:], 16)]
    return pdus.message(1, elements, data)


def converse(stream: bytes) -> tuple[Reporting, bytes]:
    """Fed whole and byte by byte, with the same results."""
    whole, single = Reporting(), Reporting()
    sent = whole.feed(stream, len(stream))
    assert single.feed(stream, 1) == sent
    assert [repr(entry) for entry in single.heard] == [repr(entry) for entry in whole.heard]
    return whole, sent


@pytest.mark.parametrize("data", [None, b"a reply!"])
def test_a_report_and_its_answer(data: bytes | None) -> None:
    action = request_of(Service.N_ACTION, b"question")
    stream = action + report_response(1, data, _0900=0x0110) + action + report_response(2, data)
    serving, sent = converse(stream)
    asked = (READ[Service.N_ACTION], b"question")
    assert serving.heard == [asked, events.ReportAnswered(1, 0x0110), asked, events.ReportAnswered(2, 0)]
    assert not serving.acceptor.mid_message
    found = pdus.read_pdus(sent)
    assert len(found) == 6
    [(_, control, command)] = pdus.read_pdvs(found[1][1])
    assert control == 3
    assert pdus.parse_command(command) == {
        0x0000: (len(command) - 12).to_bytes(4, "little"),
        0x0002: CLASS.encode(),
        0x0100: b"\0\1",
        0x0110: b"\1\0",
        0x0800: b"\1\0",
        0x1000: INSTANCE.encode(),
        0x1002: b"\2\0",
    }
    assert list(pdus.read_pdvs(found[2][1])) == [(1, 2, b"report")]


def test_a_report_without_a_data_set_and_an_answer_without_a_status() -> None:
    serving = Reporting()
    serving.report_data = None
    sent = serving.feed(request_of(Service.N_ACTION, b"question"), 1000)
    assert len(pdus.read_pdus(sent)) == 2
    serving.feed(report_response(_0900=None), 1000)
    assert serving.heard[-1] == events.ReportAnswered(1, 0x0110)


@pytest.mark.parametrize(
    "response",
    [report_response(2), report_response(1, _0100=0x8130), report_response(1) + report_response(1)],
    ids=["another message", "another service", "twice"],
)
def test_any_other_response_is_an_error(response: bytes) -> None:
    serving, sent = converse(request_of(Service.N_ACTION, b"question") + response)
    failed = serving.heard[-1]
    assert isinstance(failed, events.Failed)
    assert "to a request that was never made" in str(failed.error)
    assert sent.endswith(pdus.abort(2, 5))
