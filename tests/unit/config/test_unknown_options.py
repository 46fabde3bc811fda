"""What an unknown option may mean."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dcmrecv_core.config.unknown_options import hint_for
from dcmrecv_core.hooks import loader
from support.plugins import hooks


def declares(*names: str) -> Any:
    def add_options(options: Any) -> None:
        for name in names:
            options.add(name, value="text")

    return hooks(add_options=add_options)


def broken() -> object:
    raise ImportError("no licence")


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    plugins = {
        "broken": broken,
        "forward": lambda: declares("--forward-to", "--forward-as"),
        "none": lambda: hooks(stored=lambda: None),
        "taken": lambda: declares("-v"),
    }
    entries = [
        SimpleNamespace(name=name, value=f"{name}:site", module=name, attr="site", dist=None, load=load)
        for name, load in plugins.items()
    ]
    monkeypatch.setattr(loader, "entry_points", lambda: entries)


HINTS = {
    "--forward-to": "it is an option of plugin forward: --plugin forward loads it",
    "--forward": "did you mean --forward-to or --forward-as? --plugin forward loads it",
    "--forwart-to": "did you mean --forward-to or --forward-as? --plugin forward loads it",
    "--output-dir": "did you mean --output-directory?",
    "--keep-day": "did you mean --keep-days?",
    "--plugins": "did you mean --plugins-dir?",
    "--zzz": "--help lists all options, those of a plugin if --plugin names it",
    "--fork": "it is an option of storescp; docs/migrating.md, 'Options of storescp', says what takes its place",
}


@pytest.mark.parametrize(("token", "hint"), HINTS.items(), ids=HINTS)
def test_fault_24_hints(token: str, hint: str) -> None:
    assert hint_for(token, ["--keep-days"]) == hint
