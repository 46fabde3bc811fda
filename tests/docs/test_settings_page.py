"""docs/settings.md: its examples work, its reference has every key. Run as a program, this writes the reference."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dcmrecv_core.config.configuration import Configuration
from dcmrecv_core.config.settings_keys import KEYS, Key
from dcmrecv_core.settings.settings import Settings
from support.paths import DOCS

PAGE = DOCS / "settings.md"
BEGIN, END = "<!-- reference -->\n", "<!-- end of reference -->\n"
EXAMPLES = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def reference() -> str:
    rows = "".join(f"| `{name}` | {key.allowed} | {default(key)} | {options(key)} |\n" for name, key in KEYS.items())
    return f"| key | value | default | options |\n|---|---|---|---|\n{rows}"


def default(key: Key) -> str:
    value = getattr(Settings(), key.field)
    if value is None or value == ():
        return ""
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value!r}`".replace("'", '"')


def options(key: Key) -> str:
    return ", ".join(f"`{option.short or option.long}`" for option in key.options)


def test_the_reference_has_every_key() -> None:
    assert PAGE.read_text().partition(BEGIN)[2].partition(END)[0] == reference(), f"run {__file__}"


@pytest.mark.parametrize("text", [text for kind, text in EXAMPLES if kind == "toml"])
def test_examples_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARCHIVE_PASSWORD", "secret")
    [plugin] = [text for kind, text in EXAMPLES if kind == "python"]
    Path("naming.py").write_text(plugin)
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


if __name__ == "__main__":
    head, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(head + BEGIN + reference() + END + rest.partition(END)[2])
