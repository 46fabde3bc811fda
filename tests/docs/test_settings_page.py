"""docs/settings.md: its examples work, its reference has every key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dcmrecv_core.config.configuration import Configuration
from dcmrecv_core.net.supervisor.reload import FIXED
from dcmrecv_core.settings.settings import Settings
from support.docs.blocks import WRITE
from support.docs.settings_page import PAGE, generated

EXAMPLES = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_reference_has_every_key() -> None:
    assert PAGE.read_text() == generated(PAGE.read_text()), WRITE


def test_the_page_names_what_a_reload_does_not_change() -> None:
    text = PAGE.read_text()
    listed = text[text.index("These stay as they were at the start") : text.index("So does the default of `state_dir`")]
    assert set(re.findall(r"`(\w+)`", listed)) == {"plugin" if name == "plugins" else name for name in FIXED}


@pytest.mark.parametrize("text", [text for kind, text in EXAMPLES if kind == "toml"])
def test_examples_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARCHIVE_PASSWORD", "secret")
    for code in (text for kind, text in EXAMPLES if kind == "python"):
        Path(code.partition("\n")[0].removeprefix("# ")).write_text(code)
    Path("archive.toml").write_text(text)
    settings = Configuration("dcmrecv", ["--settings", "archive.toml", "104"], port_optional=False).line.settings
    assert settings != Settings(port=104)


@pytest.mark.parametrize("text", [text for kind, text in EXAMPLES if kind == "text"])
def test_errors_read_like_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    message = text[text.index("archive.toml") :].strip()
    key, value = re.findall(r": (\w+) = (.*?): ", message)[0]
    Path("archive.toml").write_text(f"{key} = {value}")
    with pytest.raises(Exception, match=re.escape(message)):
        Configuration("dcmrecv", ["--settings", "archive.toml", "104"], port_optional=False)
