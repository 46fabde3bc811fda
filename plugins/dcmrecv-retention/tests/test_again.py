"""Instances that are sent again while a receiver removes their study, and its background process is killed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pydicom
import pytest
from pydicom.dataset import Dataset

from dcmrecv_core import hookimpl
from dcmrecv_core.testing import Receiver, StartReceiver, deliver_all, sample_dataset, until
from dcmrecv_index.commands import main
from dcmrecv_retention import rounds

SETTLE = 1.0
STARTED = "background of plugin retention: started (process "


@hookimpl
def configure(settings: object) -> None:
    """As a plugin: retention looks more often, and waits less. It is loaded before."""
    rounds.ROUND_SECONDS, rounds.SETTLE_SECONDS = 0.1, SETTLE


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(rounds, "ROUND_SECONDS", rounds.ROUND_SECONDS)
    monkeypatch.setattr(rounds, "SETTLE_SECONDS", rounds.SETTLE_SECONDS)
    return sys.modules[__name__]


def instance(number: int) -> Dataset:
    return sample_dataset(SOPInstanceUID=f"1.2.{number}", StudyInstanceUID="1.1", SeriesInstanceUID="1.1.1")


def background_of(receiver: Receiver) -> int:
    """The last process of retention."""
    return int(receiver.log.rpartition(STARTED)[2].partition(")")[0])


def set_aside(receiver: Receiver) -> list[Path]:
    return list((receiver.output / ".dcmrecv" / "retention").glob("*"))


def is_whole(path: Path, dataset: Dataset) -> bool:
    try:
        return bool(pydicom.dcmread(path).PatientName == dataset.PatientName)
    except (OSError, pydicom.errors.InvalidDicomError):
        return False


def is_indexed(receiver: Receiver, uid: str, capsys: pytest.CaptureFixture[str]) -> bool:
    code = main(["find", uid, "--directory", str(receiver.output)])
    capsys.readouterr()
    return code == 0


def agree(receiver: Receiver, capsys: pytest.CaptureFixture[str], *, killed: bool) -> bool:
    """Whether nothing is under way any more: the study is there as a whole, or what came again, and the index says so.

    A process that was killed cannot say that it has removed a study.
    """
    said = "study 1.1 is removed" in receiver.log
    names = [name for name in receiver.files() if name.startswith("CT.")]
    indexed = [f"CT.1.2.{number}" for number in range(3) if is_indexed(receiver, f"1.2.{number}", capsys)]
    counts = {1} if said else {1, 3} if killed else {3}
    return not set_aside(receiver) and names == indexed and "CT.1.2.1" in names and len(names) in counts


MOMENTS: dict[str, Callable[[Receiver], bool]] = {
    "complete": lambda receiver: True,
    "set aside": lambda receiver: bool(set_aside(receiver)),
    "removed": lambda receiver: "study 1.1 is removed" in receiver.log,
}


@pytest.mark.parametrize("kills", [False, True], ids=["", "killed"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_what_is_acknowledged_is_there(
    start_receiver: StartReceiver, often: ModuleType, capsys: pytest.CaptureFixture[str], moment: str, kills: bool
) -> None:
    """What is complete is to be removed at once. An instance that comes again is there afterwards, until its study is
    complete again."""
    options = ("--max-disk", "1", "--retention-delete", "--study-timeout", "3600")
    receiver = start_receiver(*options, plugins=[often, "index", "retention"])
    datasets = [instance(number) for number in range(3)]
    assert receiver.send(*datasets) == [0, 0, 0]
    assert deliver_all(receiver) == []
    until(lambda: MOMENTS[moment](receiver), f"the study is {moment}", log=lambda: receiver.log)
    assert receiver.send(datasets[1]) == [0]
    path = receiver.output / "CT.1.2.1"
    if kills:
        os.kill(background_of(receiver), signal.SIGKILL)
        until(lambda: receiver.log.count(STARTED) == 2, "it is started again", log=lambda: receiver.log)
    until(lambda: not set_aside(receiver) and is_whole(path, datasets[1]), "it is there", log=lambda: receiver.log)
    until(lambda: is_indexed(receiver, "1.2.1", capsys), "the index has it", log=lambda: receiver.log)
    until(lambda: agree(receiver, capsys, killed=kills), "files and index agree", log=lambda: receiver.log)
    assert receiver.stop() == 0
