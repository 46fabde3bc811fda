"""What a session counts, and what is said of refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcmrecv_core.api.model import Instance
from dcmrecv_core.api.outcomes import Ended
from dcmrecv_core.api.verdicts import Discard, Refuse, Reject, RejectReason, SupportedContext
from dcmrecv_core.counters.slot import ENDS
from dcmrecv_core.net.worker.counting import count_failed_handshake
from support.data.datasets import instance_of
from support.protocol.pdus import abort, command_set, data_pdus, store_rq
from support.protocol.scripted_connection import EOF, Clock
from support.protocol.scripted_worker import ECHO, INSTANCE, RELEASE, REQUEST, RESET, ScriptedWorker, store
from support.uids import CT


@pytest.fixture
def worker(tmp_path: Path) -> ScriptedWorker:
    return ScriptedWorker(tmp_path, Clock())


def ends(worker: ScriptedWorker) -> dict[Ended, int]:
    return {ended: count for ended, count in zip(ENDS, worker.shared.counters.ends, strict=True) if count}


def refusals(worker: ScriptedWorker) -> list[tuple[str, str, str, int]]:
    counts = worker.shared.counters.refusal_counts
    return sorted((reason.kind, reason.status, reason.text, count) for reason, count in counts)


def texts(worker: ScriptedWorker) -> set[str]:
    return {refusal.reason for refusal in worker.shared.counters.refusals}


def test_results(worker: ScriptedWorker) -> None:
    verdicts = {"2": Discard("not wanted"), "3": Refuse(0x0124, "not you")}
    worker.recorder.verdict = lambda instance: verdicts.get(instance.sop_instance_uid[-1])
    no_data = b"".join(data_pdus(1, [command_set({**store_rq(CT, INSTANCE, 5), 0x0800: 0x0101})], is_command=True))
    truncated = store(4, instance_of(CT, f"{INSTANCE}.4")[:-10])
    worker.play(store(1), store(2), store(3), truncated, no_data, ECHO, ECHO, RELEASE)
    summary = worker.summary
    counters = worker.shared.counters
    assert counters.totals == (1, 0, 1, 3, 1, summary.bytes, 2)
    assert (summary.stored, summary.refused, summary.discarded) == counters.totals[2:5]
    assert sum(counters.instance_durations.counts) == 4, "those that had a data set"
    assert refusals(worker) == [
        ("instance", "0124", "plugin recorder", 1),
        ("instance", "0212", "Failure: MistypedArgument", 1),
        ("instance", "C000", "Error: CannotUnderstand", 1),
    ]
    assert "plugin recorder: not you" in texts(worker)
    [told] = [refusal for refusal in counters.refusals if refusal.status == "0124"]
    assert told[2:] == ("instance", "0124", "RAWSCU", "ANY", "10.0.0.1", "plugin recorder: not you")


def test_a_hook_that_fails(worker: ScriptedWorker) -> None:
    def fail(instance: Instance) -> object:
        raise RuntimeError("out of order")

    worker.recorder.verdict = fail
    worker.play(store(1), RELEASE)
    assert refusals(worker) == [("instance", "0110", "plugin recorder", 1)]
    [text] = texts(worker)
    assert text.count("recorder") == 1


@pytest.mark.parametrize(
    ("script", "ended"),
    [
        ([RELEASE], Ended.RELEASED),
        ([abort(0, 0)], Ended.ABORTED),
        ([EOF], Ended.CLOSED),
        ([RESET], Ended.CLOSED),
        ([b"\7" * 100], Ended.FAILED),
    ],
)
def test_ends(worker: ScriptedWorker, script: list[bytes], ended: Ended) -> None:
    worker.play(ECHO, *script)
    assert ends(worker) == {ended: 1}
    assert worker.shared.counters.association is None
    assert sum(worker.shared.counters.association_durations.counts) == 1


def test_while_it_is_open(worker: ScriptedWorker) -> None:
    seen = []

    def look(instance: Instance) -> None:
        seen.append(worker.shared.counters.association)

    worker.recorder.verdict = look
    worker.play(store(1), store(2), RELEASE)
    assert [(live.calling_ae_title, live.instances) for live in seen if live] == [("RAWSCU", 0), ("RAWSCU", 1)]


@pytest.mark.parametrize(
    ("answer", "status", "why", "text"),
    [
        (Reject(RejectReason.CALLING_AE_TITLE_NOT_RECOGNIZED), "1/1/3", "calling ae title not recognized", "recorder"),
        ([SupportedContext("1.2.3", None)], "1/1/1", "no acceptable presentation contexts", "CTImageStorage"),
    ],
)
def test_rejections(tmp_path: Path, answer: object, status: str, why: str, text: str, worker: ScriptedWorker) -> None:
    worker = ScriptedWorker(tmp_path, Clock(), promiscuous=False)
    worker.recorder.answer = answer
    worker.play(ECHO)
    assert worker.shared.counters.totals[:2] == (0, 1)
    assert ends(worker) == {}
    assert refusals(worker) == [("association", status, why, 1)]
    [said] = texts(worker)
    assert text in said


def test_another_application_context(worker: ScriptedWorker) -> None:
    worker.play(request=REQUEST.replace(b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.3.1.1.2"))
    assert worker.shared.counters.totals[:2] == (0, 1)
    assert refusals(worker) == [("association", "1/1/2", "another version or application context", 1)]


def test_a_handshake(worker: ScriptedWorker) -> None:
    count_failed_handshake(worker.shared.counters, "10.0.0.5", "certificate has expired")
    assert refusals(worker) == [("association", "TLS", "handshake failed", 1)]
    [refusal] = worker.shared.counters.refusals
    assert refusal[3:] == ("TLS", "", "", "10.0.0.5", "certificate has expired")
    assert worker.shared.counters.totals[1] == 0, "there was no request"
