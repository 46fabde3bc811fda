"""Plugins that serve DIMSE-N requests, asked by pynetdicom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association

from dcmrecv_core import RejectReason
from dcmrecv_core.testing.sending import await_pause_over, rejection
from support.data.datasets import instance_of
from support.data.samples import Sample
from support.programs.receivers import Receiver, Start, until
from support.protocol.raw_sender import RawAssociation, send
from support.uids import BIG_ENDIAN, CT, DEFLATED, EXPLICIT_LE, IMPLICIT_LE

CLASS = "1.2.840.10008.1.20.1"
INSTANCE = "1.2.840.10008.1.20.1.1"

ECHOING = '''\
"""Answers each request with what it was asked."""

from pydicom.dataset import Dataset

from dcmrecv_core import Also, Response, Service, SupportedContext, hookimpl

CLASS = "1.2.840.10008.1.20.1"


@hookimpl
def negotiate():
    return Also([SupportedContext(CLASS, None)])


@hookimpl
def serve(association, request):
    command = request.command
    if command.sop_instance_uid == "1.9":
        return None
    if command.sop_instance_uid == "1.8":
        raise KeyError("a bug")
    reply = Dataset()
    reply.PatientID = request.dataset.PatientID if request.dataset else ""
    reply.PatientName = f"{command.service.name}^{command.event_type_id}^{command.action_type_id}"
    reply.FrameOfReferenceUID = command.sop_instance_uid
    reply.AdditionalPatientHistory = "long " * 2000
    reply.FrameIncrementPointer = list(command.attributes)
    created = "1.2.3.4" if command.service is Service.N_CREATE and not command.sop_instance_uid else None
    return Response(
        0x0000, None if command.service is Service.N_DELETE else reply, affected_sop_instance_uid=created
    )
'''


@contextmanager
def asking(receiver: Receiver, syntax: str = IMPLICIT_LE, max_pdu: int = 16382) -> Iterator[Association]:
    ae = AE()
    ae.add_requested_context(CLASS, syntax)
    ae.maximum_pdu_size = max_pdu
    association = ae.associate("127.0.0.1", receiver.port, max_pdu=max_pdu)
    assert association.is_established
    try:
        yield association
        assert association.is_established, receiver.log
    finally:
        association.release()


def question(patient_id: str = "4711") -> Dataset:
    dataset = Dataset()
    dataset.PatientID = patient_id
    return dataset


def ask(association: Association, service: str, uid: str | None = INSTANCE) -> Any:
    await_pause_over(association)
    dataset = question()
    match service:
        case "N_EVENT_REPORT":
            return association.send_n_event_report(dataset, 2, CLASS, uid)
        case "N_GET":
            return association.send_n_get([0x00100010, 0x00100020], CLASS, uid)
        case "N_SET":
            return association.send_n_set(dataset, CLASS, uid)
        case "N_ACTION":
            return association.send_n_action(dataset, 1, CLASS, uid)
        case "N_CREATE":
            return association.send_n_create(dataset, CLASS, uid)
    return association.send_n_delete(CLASS, uid)


SERVICES = ["N_EVENT_REPORT", "N_GET", "N_SET", "N_ACTION", "N_CREATE"]


@pytest.mark.parametrize("syntax", [IMPLICIT_LE, EXPLICIT_LE, DEFLATED, BIG_ENDIAN])
@pytest.mark.parametrize("max_pdu", [0, 128])
def test_each_service(ours: Start, syntax: str, max_pdu: int) -> None:
    receiver = ours("--plugin", "echoing.py", files={"echoing.py": ECHOING})
    with asking(receiver, syntax, max_pdu) as association:
        for service in SERVICES:
            status, reply = ask(association, service)
            assert status.Status == 0, (service, receiver.log)
            types = {"N_EVENT_REPORT": "2^None", "N_ACTION": "None^1"}.get(service, "None^None")
            assert reply.PatientName == f"{service}^{types}"
            assert reply.PatientID == ("" if service == "N_GET" else "4711")
            assert reply.FrameOfReferenceUID == INSTANCE
            assert len(reply.AdditionalPatientHistory) == 9999
            if service == "N_GET":
                assert list(reply.FrameIncrementPointer) == [0x00100010, 0x00100020]
        assert ask(association, "N_DELETE").Status == 0
        assert ask(association, "N_CREATE", None)[0].Status == 0


def test_a_request_that_no_plugin_serves_or_that_fails(ours: Start) -> None:
    receiver = ours("--plugin", "echoing.py", files={"echoing.py": ECHOING})
    with asking(receiver) as association:
        assert ask(association, "N_DELETE", "1.9").Status == 0x0211
        assert ask(association, "N_SET", "1.8")[0].Status == 0x0110
        assert ask(association, "N_SET")[0].Status == 0
    assert "plugin echoing: serve: KeyError('a bug')" in receiver.log


# What a site may run all at once

GATE = """\
from dcmrecv_core import Reject, RejectReason, hookimpl

@hookimpl
def negotiate(association):
    if association.calling_ae_title == "STRANGER":
        return Reject(RejectReason.CALLING_AE_TITLE_NOT_RECOGNIZED)
"""
DEIDENTIFY = """\
from dcmrecv_core import Warn, hookimpl

@hookimpl(tryfirst=True)
def receive(instance):
    dataset = instance.copy_header()
    dataset.PatientName = "ANONYMOUS"
    instance.replace_header(dataset)
    return Warn(0xB000, "de-identified")
"""
READER = """\
from dcmrecv_core import hookimpl

@hookimpl
def receive(instance):
    instance.state["name"] = str(instance.header.PatientName)
"""
WRITER = """\
from dcmrecv_core import hookimpl

@hookimpl
def write(instance, path):
    location = instance.save(path)
    with open(location + ".txt", "w") as note:
        note.write(instance.state["name"])
    return location
"""
STUDIES = """\
import time

from dcmrecv_core import hookimpl

@hookimpl
def stored(instance, location, outcome):
    queue = plugin_queue()
    queue.mkdir(parents=True, exist_ok=True)
    (queue / instance.get("StudyInstanceUID", "none")).touch()

@hookimpl
def configure(settings):
    global plugin_queue
    plugin_queue = lambda: settings.state_directory / "studies"

@hookimpl
def background(settings):
    done = settings.state_directory / "done"
    done.mkdir(parents=True, exist_ok=True)
    while True:
        for study in plugin_queue().glob("*"):
            study.rename(done / study.name)
        time.sleep(0.05)
"""
PLUGINS = {
    "gate.py": GATE,
    "deidentify.py": DEIDENTIFY,
    "reader.py": READER,
    "writer.py": WRITER,
    "studies.py": STUDIES,
    "echoing.py": ECHOING,
}


def test_seven_kinds_of_plugins_run_together(ours: Start) -> None:
    """A layout, one that works once a study, one that de-identifies, a gate, a writer, a reader, a service."""
    named = [argument for name in PLUGINS for argument in ("--plugin", name)]
    receiver = ours(*named, "--layout", "{calling_ae_title}/{PatientName}/{SOPInstanceUID}", files=PLUGINS)
    samples = [Sample("", CT, f"1.2.3.{number}", EXPLICIT_LE, instance_of(CT, f"1.2.3.{number}")) for number in (1, 2)]
    assert send(receiver.port, samples, calling="CT1") == [0xB000, 0xB000]
    with asking(receiver) as association:
        assert ask(association, "N_ACTION")[0].Status == 0
    refused = rejection(receiver.port, calling_ae_title="STRANGER")
    assert refused.reason is RejectReason.CALLING_AE_TITLE_NOT_RECOGNIZED
    kept = [name for name in receiver.files() if not name.startswith(".dcmrecv")]
    assert kept == [f"CT1/ANONYMOUS/1.2.3.{number}{end}" for number in (1, 2) for end in ("", ".txt")]
    assert (receiver.output / kept[1]).read_text() == "ANONYMOUS"
    until(lambda: list((receiver.output / ".dcmrecv" / "done").glob("*")), "the study in the background")


REPORTING = '''\
"""Answers each N-ACTION, and reports afterwards."""

from pathlib import Path

from pydicom.dataset import Dataset

from dcmrecv_core import Also, EventReport, Response, SupportedContext, hookimpl

CLASS = "1.2.840.10008.1.20.1"
HOME = Path(__file__).parent


@hookimpl
def negotiate():
    return Also([SupportedContext(CLASS, None)])


def answered(status):
    with (HOME / "answers").open("a") as file:
        print(f"{status:04X}", file=file)
    if status == 0x0110:
        raise KeyError("a bug")


@hookimpl
def serve(request):
    told = Dataset()
    told.AdditionalPatientHistory = "long " * 2000
    told.PatientID = request.dataset.PatientID
    return Response(0, report=EventReport(2, CLASS, request.command.sop_instance_uid, told, answered))
'''


@pytest.mark.parametrize("syntax", [IMPLICIT_LE, EXPLICIT_LE, BIG_ENDIAN])
def test_a_report_after_the_response(ours: Start, syntax: str) -> None:
    receiver = ours("--plugin", "reporting.py", files={"reporting.py": REPORTING})
    reports: list[tuple[int, str, str]] = []
    statuses = [0x0000, 0x0110, 0x0112]

    def reported(event: Any) -> tuple[int, Dataset]:
        told = event.event_information
        reports.append((event.event_type, event.request.AffectedSOPInstanceUID, told.PatientID))
        return statuses[len(reports) - 1], question("a reply")

    ae = AE()
    ae.add_requested_context(CLASS, syntax)
    handlers: Any = [(evt.EVT_N_EVENT_REPORT, reported)]
    association = ae.associate("127.0.0.1", receiver.port, evt_handlers=handlers)
    assert association.is_established
    for number in range(3):
        status, _ = association.send_n_action(question(f"471{number}"), 1, CLASS, INSTANCE)
        assert status.Status == 0, receiver.log
        until(lambda number=number: len(reports) > number, "the report", log=lambda: receiver.log)
    answers = receiver.directory / "answers"
    until(lambda: answers.exists() and answers.read_text() == "0000\n0110\n0112\n", "answers", log=lambda: receiver.log)
    association.release()
    assert reports == [(2, INSTANCE, "4710"), (2, INSTANCE, "4711"), (2, INSTANCE, "4712")]
    assert "E: answered of an N-EVENT-REPORT: KeyError('a bug') (" in receiver.log


def test_a_response_to_what_was_not_asked_is_an_error(ours: Start) -> None:
    receiver = ours("--plugin", "reporting.py", files={"reporting.py": REPORTING})
    response = {0x0002: CLASS, 0x0100: 0x8100, 0x0120: 1, 0x0800: 0x0101, 0x0900: 0}
    with RawAssociation(receiver.port, [(CLASS, [IMPLICIT_LE])]) as association:
        association.request(response)
        assert association.read_pdu() == (7, bytes([0, 0, 2, 5]))
