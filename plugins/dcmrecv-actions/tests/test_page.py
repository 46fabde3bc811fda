"""docs/actions.md has every option, every placeholder and every member of an event."""

from __future__ import annotations

import json
import re
from pathlib import Path

from dcmrecv_actions import plugin
from dcmrecv_actions.fields import LETTERS, OF_INSTANCE, OF_SERIES, OF_STUDY
from dcmrecv_core import cloud_event
from dcmrecv_core.testing import fake_event, fake_study

PAGE = Path(__file__).parents[3].joinpath("docs", "actions.md").read_text()


class Options:
    def __init__(self) -> None:
        self.names: list[str] = []

    def add(self, name: str, **others: object) -> None:
        self.names.append(name)


def test_options() -> None:
    options = Options()
    plugin.add_options(options)  # type: ignore[arg-type]  # what it needs of them
    rows = re.findall(r"^\| `(--[\w-]+) [A-Z]+` \| `(\w+)` \|", PAGE, re.MULTILINE)
    assert rows == [(name, name[2:].replace("-", "_")) for name in options.names]


def test_placeholders() -> None:
    rows = re.findall(r"^\| (?:`#(\w)`, )?`#\{(\w+)\}` \| .* \| (yes|) ?\| (yes|) ?\| (yes|) ?\|$", PAGE, re.MULTILINE)
    assert {letter: field for letter, field, *_ in rows if letter} == LETTERS
    for column, fields in enumerate((OF_INSTANCE, OF_SERIES, OF_STUDY)):
        assert {row[1] for row in rows if row[2 + column]} == set(fields)


def test_event() -> None:
    [text] = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    shown, made = json.loads(text), cloud_event(fake_study(), "dcmrecv://host")
    assert list(shown) == list(made)
    assert list(shown["data"]) == list(made["data"])
    assert list(shown["data"]["instances"][0]) == list(made["data"]["instances"][0])
    assert f"`type` is `{cloud_event(fake_event(), 'x')['type']}`" in PAGE
