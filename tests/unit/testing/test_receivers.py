"""The kit's receiver: it runs for a test, and its failures explain themselves."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydicom import dcmread

from dcmrecv_core import Reject, RejectReason
from dcmrecv_core.testing import Receiver, StartReceiver, sample_dataset, until

pytest_plugins = ["dcmrecv_core.testing"]


def test_send_and_log(start_receiver: StartReceiver) -> None:
    receiver = start_receiver("-pm")
    assert receiver.send(calling_ae_title="ECHO") == [0]
    assert receiver.send(sample_dataset(SOPInstanceUID="1.2.3"), sample_dataset(SOPInstanceUID="1.2.4")) == [0, 0]
    assert receiver.files() == ["CT.1.2.3", "CT.1.2.4"]
    assert dcmread(receiver.output / "CT.1.2.3").PatientID == "4711"
    receiver.wait_for_log("Association Received")
    assert receiver.stop() == 0


def test_two_at_once(start_receiver: StartReceiver) -> None:
    first, second = start_receiver("-pm"), start_receiver("-pm")
    assert second.send(sample_dataset()) == [0]
    assert not first.files()
    assert second.files()


def test_one_that_does_not_start_says_why(start_receiver: StartReceiver) -> None:
    with pytest.raises(AssertionError, match=r"ended with 1:\n(.*\n)*.*no-such-plugin: neither"):
        start_receiver(plugins=["no-such-plugin"])


def test_a_rejection_says_what_is_missing(start_receiver: StartReceiver) -> None:
    receiver = start_receiver()
    with pytest.raises(AssertionError, match='started with "-pm"'):
        receiver.send(sample_dataset())


def test_one_that_ended_badly_fails_the_test(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "import signal\nfrom dcmrecv_core import hookimpl\n\n@hookimpl\ndef configure():\n"
        "    signal.signal = lambda *_: None  # SIGTERM is left to kill it\n"
    )
    receiver = Receiver(tmp_path / "home", plugins=[str(plugin)])
    assert "the receiver ended with -15" in receiver.end()
    assert receiver.end() == ""


REJECTING = """
from dcmrecv_core import Reject, RejectReason, Refuse, hookimpl


@hookimpl
def negotiate(association):
    if association.calling_ae_title == "STRANGER":
        return Reject(RejectReason.CALLING_AE_TITLE_NOT_RECOGNIZED)
    if association.calling_ae_title == "LATER":
        return Reject(RejectReason.LOCAL_LIMIT_EXCEEDED, transient=True)


@hookimpl
def receive(instance):
    if instance.get("PatientID") == "4711":
        return Refuse(0xA900, "no such patient")
"""


@pytest.fixture
def rejecting(tmp_path: Path) -> str:
    plugin = tmp_path / "rejecting.py"
    plugin.write_text(REJECTING)
    return str(plugin)


def test_expected_rejections(start_receiver: StartReceiver, rejecting: str) -> None:
    receiver = start_receiver("-pm", plugins=[rejecting])
    wanted = RejectReason.CALLING_AE_TITLE_NOT_RECOGNIZED
    assert receiver.expect_rejection(calling_ae_title="STRANGER", reason=wanted) == Reject(wanted)
    assert receiver.expect_rejection(sample_dataset(), calling_ae_title="LATER") == Reject(
        RejectReason.LOCAL_LIMIT_EXCEEDED, transient=True
    )
    with pytest.raises(AssertionError, match=r"was accepted, not rejected\n(.*\n)*.*Association Received"):
        receiver.expect_rejection(sample_dataset())
    with pytest.raises(AssertionError, match="rejected with LOCAL_LIMIT_EXCEEDED, not CALLING_AE_TITLE_NOT_RECOGNIZED"):
        receiver.expect_rejection(calling_ae_title="LATER", reason=wanted)
    with pytest.raises(
        AssertionError, match=r"rejected: calling ae title not recog.*expect_rejection\n(.*\n)*.*Refusing"
    ):
        receiver.send(calling_ae_title="STRANGER")


def test_what_is_not_stored_says_why(
    start_receiver: StartReceiver, rejecting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver = start_receiver("-pm", plugins=[rejecting])
    statuses = receiver.send(sample_dataset(), sample_dataset(PatientID="1"))
    assert statuses == [0xA900, 0]
    assert [status.comment for status in statuses] == ["no such patient", ""]
    assert repr(statuses) == "[0xA900 (no such patient), 0]"
    assert "refused with status A900 by plugin " in (said := capsys.readouterr().out)
    assert ": no such patient\n" in said
    assert receiver.send(sample_dataset(PatientID="1")) == [0]
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="process ids come from /proc")
def test_killed_workers_are_replaced(start_receiver: StartReceiver) -> None:
    receiver = start_receiver("-pm")
    victim = receiver.kill_worker()
    assert receiver.send(sample_dataset()) == [0]
    assert victim not in receiver.workers()
    other = min(until(receiver.workers, "a worker"))
    assert receiver.kill_worker(other) == other


def test_settings_that_are_read_again(start_receiver: StartReceiver, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('log_level = "info"\n')
    receiver = start_receiver("-pm", "--settings", settings)
    receiver.reload()
    assert receiver.send(sample_dataset()) == [0]
    settings.write_text("log_level = 1\n")
    with pytest.raises(AssertionError, match=r"settings not reloaded, nothing has changed: .*log_level"):
        receiver.reload()


def test_until() -> None:
    numbers = iter([0, 0, 7])
    assert until(lambda: next(numbers), "a number") == 7
    with pytest.raises(AssertionError, match=r"^not within 0.01 s: the moon\nthe log$"):
        until(lambda: False, "the moon", 0.01, lambda: "the log")
