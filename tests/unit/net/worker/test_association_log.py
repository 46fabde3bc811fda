"""Lines about associations that name the sender."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmrecv_core.api.verdicts import Discard, Reject, RejectReason, SupportedContext
from dcmrecv_core.logs.serving import served_of
from dcmrecv_core.net.connection import CALL_TIMEOUT
from dcmrecv_core.net.worker import session as session_module
from dcmrecv_core.net.worker.session import IDLE_NOTICE
from support.data.datasets import instance_of
from support.protocol.pdus import associate_rq, command_set, data_pdus, store_rq
from support.protocol.scripted_connection import EOF, Clock
from support.protocol.scripted_worker import ECHO, RELEASE, RESET, Make, ScriptedWorker, store
from support.uids import CT, EXPLICIT_LE

WHO = "RAWSCU (10.0.0.1) to ANY"
IDLE = [None] * (int(IDLE_NOTICE / CALL_TIMEOUT) + 1)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Make]:
    caplog.set_level(logging.INFO, "dcmrecv")
    clock = Clock()
    monkeypatch.setattr(session_module, "time", clock)
    yield lambda **settings: ScriptedWorker(tmp_path, clock, **settings)


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


ENDS = {
    "released": ((store(1), RELEASE), "released after 0.0 s; 1 stored, 0 refused, 0 discarded, "),
    "closed": ((ECHO, EOF), "connection closed by the peer after 0.0 s; 0 stored, "),
    "closed within a message": ((store(1)[:-1], EOF), "connection closed by the peer within a message after "),
    "reset": ((RESET,), "connection lost (Connection reset by peer) after "),
    "reset within a message": ((store(1)[:-1], RESET), "connection lost within a message (Connection reset by peer) "),
    "told to end": ((None, None), "aborted by us (nothing received for 1 s (--dimse-timeout)) after 1.0 s; "),
    "an error": ((b"\x47\0\0\0\0\0",), "aborted by us (unrecognized PDU type 47) after "),
}


@pytest.mark.parametrize(("script", "end"), ENDS.values(), ids=ENDS)
def test_fault_22_the_summary_says_how_an_association_ended(
    make: Make, caplog: pytest.LogCaptureFixture, script: tuple[bytes, ...], end: str
) -> None:
    make(dimse_timeout=1).play(*script)
    [summary] = [line for line in lines(caplog, logging.INFO) if line.startswith("Association from ")]
    assert summary.startswith(f"Association from {WHO}: {end}")


def test_fault_21_an_association_left_open_is_told_once(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    make().play(ECHO, *IDLE, *IDLE, ECHO, *IDLE, EOF)
    assert lines(caplog, logging.WARNING) == [
        f"Association from {WHO}: idle for 600 s and still open, which takes a place of --max-associations; "
        "--dimse-timeout ends such associations"
    ]


@pytest.mark.parametrize("timeout", [601, None])
def test_one_that_ends_in_time_is_not(make: Make, caplog: pytest.LogCaptureFixture, timeout: int | None) -> None:
    make(dimse_timeout=timeout).play(*IDLE[2 if timeout is None else 0 :], EOF)
    assert lines(caplog, logging.WARNING) == []


@pytest.mark.parametrize(
    ("answer", "level", "text"),
    [
        (
            Reject(RejectReason.CALLED_AE_TITLE_NOT_RECOGNIZED),
            logging.WARNING,
            "(1/1/7), called AE title not recognized, by plugin recorder: see its options",
        ),
        ((SupportedContext("1.2.3", None),), logging.WARNING, "(1/1/1), none of its presentation contexts is accepted"),
        ("nonsense", logging.INFO, "(2/1/1), no reason, because a plugin failed"),
    ],
)
def test_fault_21_a_rejection_has_one_line_at_the_default_level(
    make: Make, caplog: pytest.LogCaptureFixture, answer: object, level: int, text: str
) -> None:
    worker = make(promiscuous=False)
    worker.recorder.answer = answer
    worker.play()
    [line] = [line for line in caplog.messages if line.startswith("Association from ")]
    assert line.startswith(f"Association from {WHO}: rejected {text}")
    assert line in lines(caplog, level)
    assert len(lines(caplog, logging.WARNING) + lines(caplog, logging.ERROR)) == 1


def test_fault_21_what_no_option_accepts(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    find = "1.2.840.10008.5.1.4.1.2.1.1"
    make().play(request=associate_rq([(find, [EXPLICIT_LE])]))
    [line] = lines(caplog, logging.WARNING)
    assert line.endswith("FINDPatientRootQueryRetrieveInformationModel (LittleEndianExplicit); no option accepts them")


def test_a_discarded_instance_has_its_plugin_and_reason(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    worker = make()
    worker.recorder.verdict = lambda instance: Discard("seen before")
    worker.play(store(1), RELEASE)
    own = [line for line in caplog.messages if line.startswith("C-STORE ")]
    assert own == [f"C-STORE 1.2.3.4.1 from {WHO}: discarded by plugin recorder (seen before)"]
    assert "0 stored, 0 refused, 1 discarded" in caplog.text


@pytest.mark.parametrize("reason", ["\nE: forged", "\x1b[2J"])
def test_control_characters_of_titles_are_escaped(
    make: Make, caplog: pytest.LogCaptureFixture, reason: str, logging_as_before: None
) -> None:
    from dcmrecv_core.logs.records import EscapedLogRecord

    logging.setLogRecordFactory(EscapedLogRecord)
    make().play(store(1), RELEASE, request=associate_rq([(CT, [EXPLICIT_LE])], calling=f"A{reason}"))
    assert not any(reason[0] in line for line in caplog.messages)


def test_each_record_about_an_instance_names_it(
    make: Make, caplog: pytest.LogCaptureFixture, logging_as_before: None
) -> None:
    worker = make(strict=True)
    worker.shared.serving.attach()
    bad = "x.9"
    refused = data_pdus(1, [command_set(store_rq(CT, bad, 2))], is_command=True)
    worker.play(store(1), *refused, *data_pdus(1, [instance_of(CT, bad)], is_command=False), store(3), RELEASE)
    named: dict[str, list[str]] = {}
    for record in caplog.records:
        named.setdefault(served_of(record).get("instance", ""), []).append(record.getMessage())
    for uid in ("1.2.3.4.1", "1.2.3.4.3"):
        received, *_, answered = named.pop(uid)
        assert received.startswith("Received C-STORE Request (MsgID ")
        assert answered == "Sending C-STORE Response (Success)"
    line, answered = named.pop(bad)
    assert line.startswith(f"C-STORE {bad} from {WHO}: refused with status 0117: ")
    assert answered == "Sending C-STORE Response (Failure: InvalidSOPInstance)"
    assert list(named) == [""]
    assert not any("C-STORE" in line for line in named[""])
