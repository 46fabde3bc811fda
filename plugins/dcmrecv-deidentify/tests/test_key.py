"""The key: made if it is not there, never where data are handed out or where others can read it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from treated import Site

from dcmrecv_core.testing import fake_settings
from dcmrecv_deidentify import DeidentifyPlugin
from dcmrecv_deidentify.pseudonyms.key import load_key


@pytest.fixture
def output(tmp_path: Path) -> str:
    (tmp_path / "output" / "inner").mkdir(parents=True)
    return str(tmp_path / "output")


def test_is_made_once(tmp_path: Path, output: str) -> None:
    path = tmp_path / "key"
    key = load_key(path, output)
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert re.fullmatch("[0-9a-f]{64}\n", path.read_text())
    assert load_key(path, output) == key
    assert sorted(os.listdir(tmp_path)) == ["key", "output"]


def test_making_one_is_told(tmp_path: Path, output: str, caplog: pytest.LogCaptureFixture) -> None:
    """Else a lost key would be noticed by nobody, and each patient be another one from now on."""
    for _ in range(2):
        load_key(tmp_path / "key", output)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"made a new key, {tmp_path}/key" in caplog.text


@pytest.mark.parametrize("text", ["0" * 64, "0123456789abcdef" * 4, "deadbeef" * 8])
def test_one_that_is_not_random(tmp_path: Path, output: str, text: str) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text(text)
    with pytest.raises(ValueError, match="not a key"):
        load_key(path, output)


def test_two_keys_differ(tmp_path: Path, output: str) -> None:
    assert load_key(tmp_path / "one", output) != load_key(tmp_path / "two", output)


def test_another_process_makes_it_first(tmp_path: Path, output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = load_key(tmp_path / "key", output)
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    assert load_key(tmp_path / "key", output) == other


@pytest.mark.parametrize("place", ["output/key", "output/inner/key", "output/../output/key", "link/key", "file"])
def test_below_the_output_directory(tmp_path: Path, output: str, place: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "output" / "inner")
    (tmp_path / "file").symlink_to(tmp_path / "output" / "key")
    with pytest.raises(ValueError, match="below the output directory"):
        load_key(tmp_path / place, output)
    assert os.listdir(output) == ["inner"]


def test_below_the_output_directory_by_its_own_link(tmp_path: Path, output: str) -> None:
    (tmp_path / "other").symlink_to(output)
    with pytest.raises(ValueError, match="below the output directory"):
        load_key(Path(output) / "key", str(tmp_path / "other"))


def test_a_link_out_of_the_output_directory(tmp_path: Path, output: str) -> None:
    """Who gets the directory would get the link, and with some programs what it leads to."""
    load_key(tmp_path / "key", output)
    Path(output, "key").symlink_to(tmp_path / "key")
    with pytest.raises(ValueError, match="below the output directory"):
        load_key(Path(output, "key"), output)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660])
def test_others_can_read_it(tmp_path: Path, output: str, mode: int) -> None:
    load_key(tmp_path / "key", output)
    (tmp_path / "key").chmod(mode)
    with pytest.raises(ValueError, match="chmod 600"):
        load_key(tmp_path / "key", output)


def test_it_belongs_to_another(tmp_path: Path, output: str) -> None:
    load_key(tmp_path / "key", output)
    os.chown(tmp_path / "key", 4711, -1)
    with pytest.raises(ValueError, match="belongs to another user"):
        load_key(tmp_path / "key", output)


@pytest.mark.parametrize("text", ["", "ab", "x" * 64, "0" * 66])
def test_no_key(tmp_path: Path, output: str, text: str) -> None:
    (tmp_path / "key").write_text(text)
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(ValueError, match="not a key") as raised:
        load_key(tmp_path / "key", output)
    assert len(text) < 3 or text not in str(raised.value)


def test_no_regular_file(tmp_path: Path, output: str) -> None:
    os.mkfifo(tmp_path / "key", 0o600)
    with pytest.raises(ValueError, match="regular"):
        load_key(tmp_path / "key", output)


def test_no_directory(tmp_path: Path, output: str) -> None:
    with pytest.raises(ValueError, match=r"--deidentify-key .*: there is no directory .*nowhere"):
        load_key(tmp_path / "nowhere" / "key", output)


def test_is_needed(output: str) -> None:
    plugin = DeidentifyPlugin()
    with pytest.raises(ValueError, match="--deidentify-key FILE is needed"):
        plugin.configure(fake_settings(plugin, output_directory=output))


def test_the_same_key_gives_the_same_values(site: Callable[..., Site]) -> None:
    first, second = site().store().dataset, site().store().dataset
    assert first == second


def test_another_key_gives_others(site: Callable[..., Site]) -> None:
    first = site().store().dataset
    one = site()
    other = site(deidentify_key=one.directory / "other").store().dataset
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "SOPInstanceUID"):
        assert first[keyword].value != other[keyword].value
