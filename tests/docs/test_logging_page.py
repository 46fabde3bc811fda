"""docs/logging.md: its configurations work, and its tables have all conversions, appenders, filters and schedules."""

from __future__ import annotations

import json
import logging
import re
import time
from pathlib import Path

import pytest

from dcmrecv_core.logs import appenders, files, filters, layouts
from dcmrecv_core.logs.json_lines import JsonFormatter
from dcmrecv_core.logs.serving import FIELDS, Serving
from dcmrecv_core.logs.setup import LogWiring
from dcmrecv_core.settings.settings import Settings
from support.docs.blocks import PAGES, blocks_of

PAGE = PAGES["logging.md"]
EXAMPLES = {block.language: block.text for block in blocks_of("logging.md")}
LINES = {
    "properties": rf"{time.strftime('%Y')}-\S+ \S+\.\d{{3}} \d+  INFO - dcmnet   - some text\n",
    "toml": r"\S+ \S+ \d+ INFO dcmrecv\.net: some text\n",
    "json": r"\S+ \S+ \d+  INFO dcmnet: some text\n",
}


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize("language", LINES)
def test_examples(
    language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["dcmrecv"])
    Path(f"log.{language}").write_text(EXAMPLES[language])
    wiring = LogWiring()
    wiring.apply(Settings(log_config=f"log.{language}", working_directory=str(tmp_path)))
    logging.getLogger("dcmrecv.net").info("some %s", "text")
    text = Path("dcmrecv.log").read_text()
    assert capfd.readouterr() == ("", "")
    logging.getLogger("dcmrecv.net").error("error")
    assert capfd.readouterr().err == ("E: error\n" if language == "properties" else "")
    wiring.apply(Settings())
    assert re.fullmatch(LINES[language], text)


def test_every_example_is_executed() -> None:
    assert EXAMPLES.keys() == LINES.keys() | {"text"}


@pytest.mark.usefixtures("logging_as_before")
def test_json_line() -> None:
    serving = Serving()
    serving.attach()
    serving.begin("10.0.0.5", lambda: "1.2.3")
    serving.request("CT1", "ARCHIVE", "0123456789abcdef")
    record = logging.makeLogRecord({"name": "dcmrecv.net", "levelno": logging.INFO, "process": 4711, "msg": "..."})
    made, shown = json.loads(JsonFormatter().format(record)), json.loads(EXAMPLES["text"])
    assert len(made.pop("time")) == len(shown.pop("time"))
    assert made == shown
    assert set(shown) > set(FIELDS)


def test_conversions() -> None:
    table = PAGE.partition("<!-- conversions -->")[2].partition("<!-- end of conversions -->")[0]
    shown = {
        letter for row in re.findall(r"^\| (`%.*?`) \|", table, re.MULTILINE) for letter in re.findall("`%(.)", row)
    }
    known = {letter for letter in map(chr, range(33, 127)) if layouts._piece(letter, "") is not None}
    assert shown == known | {"%"}


@pytest.mark.parametrize("name", [*appenders._KINDS, *filters._KINDS, *files.SCHEDULES])
def test_every_kind_is_on_the_page(name: str) -> None:
    assert f"`{name.rpartition(':')[2]}`" in PAGE
