"""The page in docs/ says what the code does."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from dcmrecv_core import Undeliverable
from dcmrecv_forward import destinations, dimse, errors, stow
from dcmrecv_forward.commands import Response
from dcmrecv_forward.destinations import Destination

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "forward.md").read_text()
README = (Path(__file__).parents[1] / "README.md").read_text()


def rows(header: str) -> list[list[str]]:
    """The cells of the table whose first line begins so."""
    lines = PAGE[PAGE.index(header) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_key_is_there_with_its_kinds() -> None:
    shown: dict[str, set[str]] = {}
    for keys, kinds, _ in rows("| key | kind |"):
        for key in re.findall(r"`(\w+)`", keys):
            shown[key] = set(destinations._KEYS) if kinds == "all" else set(kinds.split(", "))
    kinds_of = {key: {kind for kind, keys in destinations._KEYS.items() if key in keys} for key in shown}
    kinds_of |= {key: set(destinations._KEYS) for key in ("name", "kind", "when")}
    assert shown == kinds_of
    assert shown.keys() == {each.name for each in fields(Destination)}
    assert f"default `{destinations.CALLING}`" in PAGE
    assert f"default {destinations.TIMEOUT:.0f}" in PAGE


@pytest.mark.parametrize("text", re.findall(r"```toml\n(.*?)```", PAGE + README, re.DOTALL), ids=range(4))
def test_settings(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(destinations, "_tls", lambda destination: None)  # its files are elsewhere
    tables = tomllib.loads(text)["plugins"]["forward"]["destinations"]
    for table in tables:
        table.update({key: Path(table[key]) for key in ("path",) if key in table})
        table.update({key: "secret" for key in ("token",) if key in table})
    made = destinations.routes([Destination(**table) for table in tables], str(tmp_path))
    assert len(made) == len(tables)


def statuses(text: str) -> list[int]:
    """Those named, with A7xx as A700 and A7FF."""
    found = []
    for name in re.findall(r"\b[0-9A-FBC][0-9A-Fx]{3}\b", text):
        found += [int(name.replace("x", "0"), 16), int(name.replace("x", "F"), 16)]
    return found


def test_statuses() -> None:
    table = {row[0]: row[1:] for row in rows("| destination | sent means |")}
    sent, again, aside = table["dimse"]
    assert len(statuses(sent)) >= 10 and len(statuses(again)) >= 6 and len(statuses(aside)) >= 16
    for status in statuses(sent):
        dimse.judge(Response(1, status))
    for status in statuses(again):
        with pytest.raises(errors.NotSent):
            dimse.judge(Response(1, status))
    for status in statuses(aside):
        with pytest.raises(Undeliverable):
            dimse.judge(Response(1, status))


def test_statuses_of_http() -> None:
    table = {row[0]: row[1:] for row in rows("| destination | sent means |")}
    for code in re.findall(r"\b\d{3}\b", table["stow"][2]):
        with pytest.raises(Undeliverable):
            stow.judge(int(code), "", b"")
    down = re.search(r"\(no connection, association rejected, ([\d, ]+), no folder\)", " ".join(PAGE.split()))
    assert down is not None
    codes = list(map(int, down[1].split(", ")))
    assert set(codes) <= stow._TAKES_NOTHING and len(codes) == 5
    for code in codes:
        with pytest.raises(errors.Unreachable):
            stow.judge(code, "", b"")
