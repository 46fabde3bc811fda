"""The plugin in a receiver: acknowledged instances are found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from old_version import line, queue_file

from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.testing import StartReceiver, deliver_all, sample_dataset

Find = Callable[..., list[dict[str, Any]]]


def test_acknowledged_instances_are_found(start_receiver: StartReceiver, find: Find) -> None:
    receiver = start_receiver(plugins=["index"])
    assert receiver.send(*(sample_dataset(SOPInstanceUID=f"1.2.{number}") for number in range(3))) == [0, 0, 0]
    assert deliver_all(receiver) == []
    found = find("--level", "instance", "--directory", str(receiver.output))
    assert [row["location"] for row in found] == [str(receiver.output / name) for name in receiver.files()]
    assert {(row["calling_ae_title"], row["peer_address"]) for row in found} == {("SENDER", "127.0.0.1")}
    assert len(find("--from", "SENDER", "--since", "2026-01-01", "--directory", str(receiver.output))) == 1


def test_dropped_instances_change_nothing(start_receiver: StartReceiver, find: Find) -> None:
    receiver = start_receiver("--on-duplicate", "keep", plugins=["index"])
    kept, dropped, other = (
        sample_dataset(SOPInstanceUID=uid, PatientName=name)
        for uid, name in (("1.2.1", "Kept"), ("1.2.1", "Dropped"), ("1.2.2", "Kept"))
    )
    assert receiver.send(kept, dropped, other) == [0, 0, 0]
    assert deliver_all(receiver) == []
    assert [row["patient_name"] for row in find("--directory", str(receiver.output))] == ["Kept"]


def test_a_database_that_cannot_be_used_is_waited_for(
    start_receiver: StartReceiver, tmp_path: Path, find: Find
) -> None:
    """Senders do not notice."""
    in_the_way = tmp_path / "directory"
    in_the_way.touch()
    url = f"sqlite:///{in_the_way}/index.sqlite"
    receiver = start_receiver("--index-url", url, plugins=["index"])
    assert receiver.send(sample_dataset()) == [0]
    receiver.wait_for_log(f"plugin index: delivery_started: the database cannot be used: {in_the_way}: ")
    assert "Traceback" not in receiver.log
    in_the_way.unlink()
    assert deliver_all(receiver) == []
    assert len(find("--url", url)) == 1


def test_the_queue_of_the_version_before_is_taken_over(
    start_receiver: StartReceiver, tmp_path: Path, find: Find
) -> None:
    """Before the first delivery: the instance came again since."""
    state = tmp_path / "state"
    path = queue_file(state, "100-1-1-0000000a.4", [line("1.2.1", location="/old"), line("1.2.9")])
    receiver = start_receiver("--state-dir", str(state), plugins=["index"])
    assert receiver.send(sample_dataset(SOPInstanceUID="1.2.1")) == [0]
    assert deliver_all(receiver) == []
    found = find("--level", "instance", "--state-dir", str(state))
    assert {row["sop_instance_uid"]: row["location"] for row in found} == {
        "1.2.1": str(receiver.output / "CT.1.2.1"),
        "1.2.9": "/archive/1.2.9",
    }
    assert not path.parent.exists()


def test_a_url_that_cannot_be_used_keeps_it_from_starting(start_receiver: StartReceiver) -> None:
    with pytest.raises(AssertionError, match="mysql is not supported") as caught:
        start_receiver("--index-url", "mysql://user:SECRET@host/index", plugins=["index"])
    assert "SECRET" not in str(caught.value)


def test_the_state_directory_is_below_the_output_directory_by_default() -> None:
    """The commands look for it there."""
    assert Settings(output_directory="/archive").state_directory.name == ".dcmrecv"
