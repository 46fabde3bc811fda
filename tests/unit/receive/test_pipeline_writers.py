"""Several plugins that write, plugins that forget to say where, and further copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core import Instance, NameTakenError, StoredOutcome
from support.plugins import hooks
from support.publishing import names
from support.receiving import INSTANCE, data_set, receiver, send, stored_data

FILE = f"CT.{INSTANCE}"


def listening(told: list[object]) -> object:
    return hooks(stored=lambda location, outcome: told.append((location, outcome)))


def test_the_first_location_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[object] = []
    asked: list[str] = []
    first = hooks(write=lambda: asked.append("first") or "s3://bucket/x")
    silent = hooks(write=lambda: asked.append("silent"))
    place = receiver(tmp_path, listening(told), first, silent)
    assert send(place, data_set()).location == "s3://bucket/x"
    assert asked == ["silent", "first"]
    assert told == [("s3://bucket/x", StoredOutcome(0, "", "new", None))]
    assert names(tmp_path) == [] and not caplog.records


@pytest.mark.parametrize("on_duplicate", [None, "replace-same", "overwrite", "rename", "keep", "refuse"])
def test_a_missing_return(tmp_path: Path, on_duplicate: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The built-in writer finds the file that is there already, whatever the policy."""
    told: list[object] = []

    def write(instance: Instance, path: str) -> None:
        instance.save(path)

    place = receiver(tmp_path, listening(told), hooks(write=write), on_duplicate=on_duplicate)
    for uid in ("1", "2"):
        told.clear()
        assert send(place, data_set(), instance=uid).status == 0
        assert told == [(f"{tmp_path}/CT.{uid}", StoredOutcome(0, "", "new", on_duplicate or "overwrite"))]
    assert names(tmp_path) == ["CT.1", "CT.2"]
    [record] = [record for record in caplog.records if "differs from command" not in record.getMessage()]
    assert "plugin plugin1: write has saved an instance and returned None" in record.getMessage()
    assert "return what instance.save returns" in record.getMessage()


def test_a_missing_return_after_saving_elsewhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def write(instance: Instance) -> None:
        instance.save("elsewhere/x")

    assert send(receiver(tmp_path, hooks(write=write)), data_set()).location == f"{tmp_path}/{FILE}"
    assert names(tmp_path) == [FILE, "elsewhere/x"]
    assert "plugin plugin0: write has saved an instance and returned None" in caplog.text


def test_each_plugin_is_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def forgetful() -> object:
        def write(instance: Instance, path: str) -> None:
            instance.save(path)

        return hooks(write=write)

    place = receiver(tmp_path, forgetful(), forgetful())
    for _ in range(2):
        send(place, data_set())
    assert sorted(
        record.getMessage().partition(":")[0] for record in caplog.records if "None" in record.getMessage()
    ) == [
        "plugin plugin0",
        "plugin plugin1",
    ]


def test_a_copy_is_silent_and_is_not_the_location(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[object] = []

    def write(instance: Instance, path: str) -> None:
        assert instance.save_copy("copies/x") == f"{tmp_path}/copies/x"

    place = receiver(tmp_path, listening(told), hooks(write=write), memory=100)
    assert send(place, data_set()).location == f"{tmp_path}/{FILE}"
    assert names(tmp_path) == [FILE, "copies/x"]
    assert stored_data(f"{tmp_path}/{FILE}") == stored_data(f"{tmp_path}/copies/x") == data_set()
    assert told == [(f"{tmp_path}/{FILE}", StoredOutcome(0, "", "new", "overwrite"))]
    assert not caplog.records


def test_a_copy_is_as_safe_as_save(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"old")
    answers: list[object] = []

    def receive(instance: Instance) -> None:
        for path, policy in (("taken", "refuse"), ("../x", None), ("taken", "rename"), ("taken", None)):
            try:
                answers.append(instance.save_copy(path, policy).removeprefix(f"{tmp_path}/"))  # type: ignore[arg-type]
            except Exception as error:
                answers.append(type(error).__name__)

    send(receiver(tmp_path, hooks(receive=receive)), data_set())
    assert answers[:3] == [NameTakenError.__name__, "HookFailure", "taken~2"]
    assert str(answers[3]).startswith("taken~")
    assert (tmp_path / "taken").read_bytes() == b"old"


def test_a_layout_with_a_writer(tmp_path: Path) -> None:
    """The writer gets the path that the layout has chosen, and its policy."""
    told: list[object] = []
    paths: list[str] = []

    def write(instance: Instance, path: str) -> str | None:
        paths.append(path)
        return instance.save(path) if instance.get("Modality") == "CT" else None

    place = receiver(tmp_path, listening(told), hooks(write=write), layout="{Modality}/{SOPInstanceUID}")
    for _ in range(2):
        send(place, data_set())
    path = f"{tmp_path}/CT/{INSTANCE}"
    assert paths == [path, path]
    assert told == [(path, StoredOutcome(0, "", how, "replace-same")) for how in ("new", "kept")]
