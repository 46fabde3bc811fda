"""Reports on the association of the request, for peers with `same_association`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dcmrecv_commitment import at_once
from dcmrecv_commitment.at_once import AtOnce
from dcmrecv_commitment.folder import Folder
from dcmrecv_commitment.requests import Asked, Reference
from dcmrecv_core import PluginSettings
from dcmrecv_core.testing import Receiver, sample_dataset, until
from support.servers.requestor import CT, Requestor, asking_for, request, request_and_wait

Start = Callable[..., Receiver]
PATIENT = """\
from dcmrecv_commitment import at_once
from dcmrecv_core import hookimpl

@hookimpl
def worker_started():
    at_once.PATIENCE = 60.0
"""
SAME = "same_association = true\n"


def open_requests(receiver: Receiver) -> list[Path]:
    return list((receiver.state_directory / "commitment").glob("*.json"))


@pytest.fixture
def patient(tmp_path: Path) -> str:
    """A plugin with which workers wait longer for the index."""
    path = tmp_path / "patient.py"
    path.write_text(PATIENT)
    return str(path)


def test_on_the_association_of_the_request(start: Start, requestor: Requestor, patient: str) -> None:
    receiver = start(requestor.port, keys=SAME, more=(patient,))
    assert receiver.send(sample_dataset(SOPInstanceUID="1.2.3")) == [0]
    report = request_and_wait(receiver.port, asking_for("9.1", "1.2.3", "1.2.4"))
    assert (report.event_type, report.transaction_uid) == (2, "9.1")
    assert (report.committed, report.failed) == ([(CT, "1.2.3")], {(CT, "1.2.4"): 0x0112})
    receiver.wait_for_log("transaction 9.1: 1 instances committed, 1 failed; answered with status 0000")
    until(lambda: not open_requests(receiver), "the request is gone", log=lambda: receiver.log)
    assert requestor.reports.empty()


@pytest.mark.parametrize("status", [None, 0x0110], ids=["aborted", "failed"])
def test_without_an_answer_it_comes_on_a_new_one(
    start: Start, requestor: Requestor, patient: str, status: int | None
) -> None:
    receiver = start(requestor.port, keys=SAME, more=(patient,))
    assert receiver.send(sample_dataset(SOPInstanceUID="1.2.3")) == [0]
    assert request_and_wait(receiver.port, asking_for("9.1", "1.2.3"), status).event_type == 1
    [kept] = open_requests(receiver)
    written = kept.stat().st_mtime - at_once.HOLD
    os.utime(kept, (written, written))
    assert requestor.report().committed == [(CT, "1.2.3")]


def test_only_for_peers_that_say_so(start: Start, requestor: Requestor) -> None:
    receiver = start(requestor.port)
    request(receiver.port, asking_for("9.1", "1.2.3"))
    assert requestor.report().failed == {(CT, "1.2.3"): 0x0112}


class Mark:
    def __init__(self, state_directory: Path, plugin: str) -> None: ...

    def is_passed(self) -> bool:
        return False


@pytest.mark.parametrize("name", ["PATIENCE", "MOST_AT_ONCE"])
def test_what_takes_too_long_is_left_to_the_other_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(at_once, "DeliveryMark", Mark)
    monkeypatch.setattr(at_once, name, 0)
    folder = Folder(tmp_path / "commitment")
    kept = folder.keep(Asked("CT1", "ARCHIVE", "9.1", (Reference(CT, "1.2.3"),)))
    settings = PluginSettings(state_directory=tmp_path, all_options={"index": {"index_url": None}})
    assert AtOnce(settings, folder).report(kept) is None
    assert folder.read(kept) is not None
