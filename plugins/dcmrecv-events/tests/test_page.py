"""docs/events.md has every key, and settings that are accepted."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from dcmrecv_events import destinations
from dcmrecv_events.destinations import Destination, routes

PAGE = (Path(__file__).parents[3] / "docs" / "events.md").read_text()
README = (Path(__file__).parents[1] / "README.md").read_text()


def test_every_key() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (all|nats|amqp|kafka) \|", PAGE, re.MULTILINE)
    shown = {key: servers for keys, servers in rows for key in re.findall(r"\w+", keys)}
    own = {key: scheme for scheme, keys in destinations._OF_SCHEMES.items() for key in keys}
    assert shown == {each.name: own.get(each.name, "all") for each in fields(Destination)}
    assert f"default {destinations.TIMEOUT:.0f}" in PAGE


@pytest.mark.parametrize("text", re.findall(r"```toml\n(.*?)```", PAGE + README, re.DOTALL), ids=range(2))
def test_settings(text: str) -> None:
    tables = tomllib.loads(text)["plugins"]["events"]["destinations"]
    for table in tables:
        table.update({key: "secret" for key in ("token", "password") if key in table})
    assert len(routes([Destination(**table) for table in tables])) == len(tables)
