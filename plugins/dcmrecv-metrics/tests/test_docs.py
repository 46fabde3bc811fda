"""The page in docs/ says what the code does."""

from __future__ import annotations

import re
import shlex
import struct
from pathlib import Path

from documents import NOW, document
from prometheus_client.parser import text_string_to_metric_families
from serving import Served, free_address

from dcmrecv_core.testing import StartReceiver
from dcmrecv_metrics.history import History
from dcmrecv_metrics.page import MOST_REFUSALS, REFRESH
from dcmrecv_metrics.pages import Pages
from dcmrecv_metrics.prometheus import metrics_page
from dcmrecv_metrics.source import Source

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "metrics.md").read_text()
README = (Path(__file__).parents[1] / "README.md").read_text()


def rows(text: str, header: str) -> list[list[str]]:
    """The cells of the table whose first line begins so."""
    lines = text[text.index(header) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def shown() -> list[list[str]]:
    """The table of metrics as it has to be."""
    body, _ = metrics_page(document(), NOW, "")
    table = []
    for family in text_string_to_metric_families(body.decode()):
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        name = f"{family.name}_total" if family.type == "counter" else family.name
        listed = ", ".join(f"`{label}`" for label in sorted(labels))
        table.append([f"`{name}`", family.type, listed, family.documentation.rstrip(".")])
    return table


def test_every_metric_is_there() -> None:
    wanted = shown()
    found = rows(PAGE, "| metric | type |")
    assert found == wanted, "\n".join("| " + " | ".join(row) + " |" for row in wanted)


def test_the_rules_use_metrics_that_there_are() -> None:
    names = {row[0].strip("`") for row in shown()}
    names |= {f"{name}_bucket" for name in names if name.endswith("duration_seconds")}
    [rules] = [text for text in blocks("yaml") if "alert:" in text]
    used = re.findall(r"\b(dcmrecv_\w+)", rules)
    assert len(used) >= 7 and set(used) <= names
    assert rules.count("- alert: ") == rules.count(" expr: ")


def test_every_path_is_there() -> None:
    paths = {row[0].strip("`") for row in rows(PAGE, "| path | what |")}
    assert paths == set(Pages._PATHS)
    named = {path for row in rows(README, "| path | what |") for path in re.findall(r"`(/[^`]*)`", row[0])}
    assert named == paths


def test_the_command(start_receiver: StartReceiver) -> None:
    [text] = blocks("console")
    prompt, program, *arguments, port = shlex.split(text)
    assert (prompt, program, port) == ("$", "dcmrecv", "11112")
    host, free = free_address()
    arguments[arguments.index("--http") + 1] = f"{host}:{free}"
    Served(start_receiver(*arguments), host, free)


def test_the_settings(start_receiver: StartReceiver, tmp_path: Path) -> None:
    [text] = blocks("toml")
    host, free = free_address()
    file = tmp_path / "these.toml"
    file.write_text(text.replace("127.0.0.1:9104", f"{host}:{free}").replace("port = 11112\n", ""))
    assert f"{host}:{free}" in file.read_text()
    Served(start_receiver("--settings", file), host, free)


def test_the_reasons() -> None:
    [text] = blocks("text")
    answer = Pages(Source(lambda: document(state="not ready", not_ready=text.splitlines()[1:])), History()).answer(
        "/readyz", ""
    )
    assert (answer.body.decode(), answer.code) == (text, 503)


def test_numbers() -> None:
    assert REFRESH == 10 and "every ten seconds" in PAGE
    assert MOST_REFUSALS == 50 and "At most fifty refusals" in PAGE


def test_the_picture_is_one_and_small() -> None:
    picture = (DOCS / "images" / "status-page.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n") and len(picture) < 100_000
    assert struct.unpack(">II", picture[16:24])[0] >= 1000
