"""The plugin in a receiver: acknowledged instances are found."""

from __future__ import annotations

import json

import pytest

from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.testing import StartReceiver, sample_dataset, until
from dcmrecv_index.commands import main


def test_acknowledged_instances_are_found(start_receiver: StartReceiver, capsys: pytest.CaptureFixture[str]) -> None:
    receiver = start_receiver(plugins=["index"])
    index = receiver.output / ".dcmrecv" / "index.sqlite"
    assert receiver.send(*(sample_dataset(SOPInstanceUID=f"1.2.{number}") for number in range(3))) == [0, 0, 0]

    def found() -> list[str]:
        capsys.readouterr()
        command = ["find", "--directory", str(receiver.output), "--level", "instance", "--json"]
        rows = json.loads(capsys.readouterr().out) if index.exists() and main(command) == 0 else []
        return [row["location"] for row in rows]

    until(lambda: len(found()) == 3, "three instances in the index", log=lambda: receiver.log)
    assert found() == [str(receiver.output / name) for name in receiver.files()]


def test_dropped_instances_change_nothing(start_receiver: StartReceiver, capsys: pytest.CaptureFixture[str]) -> None:
    receiver = start_receiver("--on-duplicate", "keep", plugins=["index"])
    index = receiver.output / ".dcmrecv" / "index.sqlite"
    kept, dropped, other = (
        sample_dataset(SOPInstanceUID=uid, PatientName=name)
        for uid, name in (("1.2.1", "Kept"), ("1.2.1", "Dropped"), ("1.2.2", "Kept"))
    )
    assert receiver.send(kept, dropped, other) == [0, 0, 0]

    def names() -> list[str]:
        capsys.readouterr()
        command = ["find", "--directory", str(receiver.output), "--level", "series", "--json", "--sop-instance-uid"]
        if not index.exists() or main([*command, "1.2.2"]) or not json.loads(capsys.readouterr().out):
            return []
        assert main(["find", "--directory", str(receiver.output), "--json"]) == 0
        return [row["patient_name"] for row in json.loads(capsys.readouterr().out)]

    until(lambda: bool(names()), "the last instance in the index", log=lambda: receiver.log)
    assert names() == ["Kept"]


def test_a_url_that_cannot_be_used_keeps_it_from_starting(start_receiver: StartReceiver) -> None:
    with pytest.raises(AssertionError, match="mysql is not supported") as caught:
        start_receiver("--index-url", "mysql://user:SECRET@host/index", plugins=["index"])
    assert "SECRET" not in str(caught.value)


def test_the_state_directory_is_below_the_output_directory_by_default() -> None:
    """The commands look for it there."""
    assert Settings(output_directory="/archive").state_directory.name == ".dcmrecv"
