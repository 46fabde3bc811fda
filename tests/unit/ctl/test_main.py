"""The command line of `dcmrecvctl`: which receiver."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcmrecv_core.ctl.main import main
from dcmrecv_core.delivery.sqlite.store import SqliteStore


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    state = tmp_path / "out" / ".dcmrecv"
    state.mkdir(parents=True)
    SqliteStore.open(str(state)).close()
    (tmp_path / "site.toml").write_text('output_directory = "out"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["--state-dir", "out/.dcmrecv", "queue", "list"],
        ["queue", "--state-dir", "out/.dcmrecv", "list"],
        ["queue", "list", "--state-dir", "out/.dcmrecv"],
        ["--settings", "site.toml", "queue", "list"],
        ["queue", "list", "--settings", "site.toml"],
    ],
)
def test_which_receiver(home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("queue")


def test_the_usual_one(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue", "list"]) == 1
    monkeypatch.chdir(home / "out")
    assert main(["queue", "list"]) == 0


def test_a_settings_file_that_cannot_be_read(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--settings", "none.toml", "queue", "list"]) == 1
    assert "none.toml" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["queue"], ["queue", "drop"], ["queue", "replay", "--target", "a/b"], ["x"]])
def test_what_is_no_command(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
