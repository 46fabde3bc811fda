"""The plugin in a receiver, and what its options may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcmrecv_core import PluginError
from dcmrecv_core.testing import Receiver, StartReceiver, deliver_all, fake_settings, sample_dataset, until
from dcmrecv_retention import RetentionPlugin
from dcmrecv_retention.limits import Disk, parse_days, parse_disk

PLUGINS = ("index", "retention")


def send(receiver: Receiver, *uids: str, study: str) -> None:
    instances = [
        sample_dataset(SOPInstanceUID=uid, StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1") for uid in uids
    ]
    assert receiver.send(*instances) == [0] * len(uids)


@pytest.fixture
def filled(start_receiver: StartReceiver) -> Receiver:
    """With two complete studies, and ended."""
    receiver = start_receiver("--keep-days", "1000", plugins=PLUGINS)
    send(receiver, "1.2.1", "1.2.2", study="1.1")
    send(receiver, "1.2.3", study="1.2")
    assert deliver_all(receiver) == []
    assert receiver.stop() == 0
    return receiver


def again(start_receiver: StartReceiver, filled: Receiver, *options: str) -> Receiver:
    """A receiver on the same directory."""
    state = filled.output / ".dcmrecv"
    return start_receiver("-od", str(filled.output), "--state-dir", str(state), *options, plugins=PLUGINS)


def wait_for(receiver: Receiver, text: str) -> None:
    """For more than a minute: there is a round in each."""
    until(lambda: text in receiver.log, f"{text!r} in the log", 100, lambda: receiver.log)


def test_the_oldest_study_is_removed(start_receiver: StartReceiver, filled: Receiver) -> None:
    receiver = again(start_receiver, filled, "--max-disk", "600", "--retention-delete")
    wait_for(receiver, "study 1.1 is removed: --max-disk; 2 instances")
    assert sorted(path.name for path in filled.output.iterdir() if path.is_file()) == ["CT.1.2.3"]
    assert receiver.stop() == 0


def test_without_the_option_the_log_says_what_would_be_removed(start_receiver: StartReceiver, filled: Receiver) -> None:
    receiver = again(start_receiver, filled, "--max-disk", "600")
    wait_for(receiver, "study 1.1 would be removed: --max-disk; 2 instances")
    assert receiver.stop() == 0
    assert len([path for path in filled.output.iterdir() if path.is_file()]) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "use --keep-days or --max-disk"),
        (("--keep-days", "0"), "a number of days from 1 on expected"),
        (("--max-disk", "100%"), "1% to 99%"),
    ],
)
def test_options_that_cannot_be_used(start_receiver: StartReceiver, options: tuple[str, ...], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        start_receiver(*options, plugins=PLUGINS)


def test_without_the_index(start_receiver: StartReceiver) -> None:
    with pytest.raises(AssertionError, match="add --plugin index"):
        start_receiver("--keep-days", "1", plugins=["retention"])


def test_settings() -> None:
    plugin = RetentionPlugin()
    with pytest.raises(PluginError):
        plugin.configure(fake_settings(plugin))
    plugin.configure(fake_settings(plugin, options={"keep_days": 3}, others={"index": {}}))


def test_the_index_of_a_url(tmp_path: Path) -> None:
    plugin = RetentionPlugin()
    url = f"sqlite:///{tmp_path}/other.sqlite"
    settings = fake_settings(
        plugin, options={"keep_days": 3}, others={"index": {"index_url": url}}, output_directory=tmp_path
    )
    settings.state_directory.mkdir()
    plugin.configure(settings)
    with plugin.rounds(settings):
        assert (tmp_path / "other.sqlite").exists()


@pytest.mark.parametrize(
    ("text", "disk"),
    [("500", Disk(500)), ("2k", Disk(2048)), ("3G", Disk(3 << 30)), ("2T", Disk(2 << 40)), ("80%", Disk(percent=80))],
)
def test_disks(text: str, disk: Disk) -> None:
    assert parse_disk(text) == disk


@pytest.mark.parametrize("text", ["", "0", "0%", "100%", "-1", "1.5G", "80 %", "G", "2P"])
def test_what_is_no_disk(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_disk(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "x"])
def test_what_are_no_days(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_days(text)
