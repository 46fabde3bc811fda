"""The kit's receiver: it runs for a test, and its failures explain themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread

from dcmrecv_core.testing import Receiver, StartReceiver, sample_dataset

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
