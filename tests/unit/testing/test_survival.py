"""`check_survives`: it finds what a plugin loses when processes die, and passes one that loses nothing."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from dcmrecv_core import PluginError
from dcmrecv_core.testing import Receiver, check_survives, sample_dataset
from support.plugins import hooks

pytest_plugins = ["dcmrecv_core.testing"]


def written(directory: Path, text: str) -> str:
    path = directory / "surviving.py"
    path.write_text(
        "from dcmrecv_core import Refuse, escape_directory, hookimpl\nfrom pathlib import Path\n"
        + textwrap.dedent(text)
    )
    return str(path)


KEEPING = """
class Site:
    @hookimpl
    def add_options(self, options):
        options.add("--list", value="file", type=Path)

    @hookimpl
    def configure(self, settings):
        self.list = settings.options["list"]

    @hookimpl
    def receive(self, instance):
        if instance.get("PatientID") == "0":
            return Refuse(0xA900, "no such patient")

    @hookimpl
    def choose_subdir(self, instance):
        return escape_directory([instance.get("PatientID")])

    @hookimpl
    def deliver(self, event):
        with self.list.open("a") as file:
            print(event.sop_instance_uid, file=file)


plugin = Site()
"""


def test_one_that_keeps_everything(tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.touch()
    samples = [sample_dataset(), sample_dataset(PatientID="0")]
    survival = check_survives(written(tmp_path, KEEPING), options={"list": file}, datasets=samples)
    sent = {str(dataset.SOPInstanceUID) for dataset in survival.acknowledged}
    assert sent == set(file.read_text().split()), "all that was acknowledged was delivered"
    assert {dataset.PatientID for dataset in survival.acknowledged} == {"4711"}
    assert {(str(dataset.PatientID), status) for dataset, status in survival.refused} == {("0", 0xA900)}
    for step in ("was killed by signal 9", "settings reloaded", "starting it again in"):
        assert step in survival.log
    assert survival.log.count("listening") >= 3, "it was started three times"


LOSING = """
class Site:
    waiting = []

    @hookimpl
    def deliver(self, event):
        self.waiting.append(event)
        if len(self.waiting) == 10:
            for each in self.waiting:
                (Path(each.location).parent / "all.txt").open("a").write(each.sop_instance_uid + " ")
            self.waiting.clear()


plugin = Site()
"""


def test_one_that_keeps_events_in_memory_loses_some(tmp_path: Path) -> None:
    def arrived(receiver: Receiver, dataset: object) -> bool:
        together = receiver.output / "all.txt"
        delivered = together.read_text().split() if together.exists() else []
        return str(dataset.SOPInstanceUID) in delivered  # type: ignore[attr-defined]

    with pytest.raises(
        AssertionError, match=r"does not survive: 1 problems\n  \d+ of \d+ acknowledged instances did not"
    ):
        check_survives(written(tmp_path, LOSING), arrived=arrived)


def test_one_that_stores_nothing_and_fails(tmp_path: Path) -> None:
    plugin = """
    @hookimpl
    def write(instance, path):
        return path

    @hookimpl
    def stored(instance):
        raise RuntimeError("broken")
    """
    missing = r"(\d+) of \1 acknowledged .* the first: no file below the output directory"
    failed = r"\n  stored failed \d+ times, at first: RuntimeError\('broken'\)"
    with pytest.raises(AssertionError, match=rf"2 problems\n  {missing}(.|\n)*{failed}"):
        check_survives(written(tmp_path, plugin))


def test_one_that_cannot_be_configured_again(tmp_path: Path) -> None:
    plugin = """
    @hookimpl
    def configure(settings):
        Path(settings.output_directory, "mark").touch(exist_ok=False)
    """
    with pytest.raises(AssertionError, match="settings not reloaded"):
        check_survives(written(tmp_path, plugin))


def test_one_that_takes_nothing(tmp_path: Path) -> None:
    plugin = "@hookimpl\ndef receive(instance):\n    return Refuse(0xA900, 'never')\n"
    with pytest.raises(AssertionError, match=r"acknowledged, but 0xA900 \(never\): give datasets that the plugin"):
        check_survives(written(tmp_path, plugin))


def test_one_that_no_receiver_can_load() -> None:
    with pytest.raises(PluginError, match="a receiver cannot load it"):
        check_survives(hooks(choose_filename=lambda instance: "x"))
