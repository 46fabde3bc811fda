"""The page in docs/ says what the code does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from dcmrecv_core.testing import fake_settings
from dcmrecv_deidentify import DeidentifyPlugin
from dcmrecv_deidentify.classes import BY_DEFAULT, KINDS, NEVER
from dcmrecv_deidentify.deidentifier import MOST_LARGE
from dcmrecv_deidentify.profile import table
from dcmrecv_deidentify.profile.plans import Plans
from dcmrecv_deidentify.profile.rules import Rule
from dcmrecv_deidentify.pseudonyms.made import MOST_DAYS

PAGE = (Path(__file__).parents[3] / "docs" / "deidentify.md").read_text()
README = (Path(__file__).parents[1] / "README.md").read_text()


def rows(header: str) -> list[list[str]]:
    """The cells of the table whose first line begins so."""
    lines = PAGE[PAGE.index(header) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_options_of_the_profile() -> None:
    shown = {name.strip("`"): code for name, _, code in rows("| name | what it does | code")}
    assert shown == {name: code for name, (code, _) in table.OPTIONS.items()}


def test_kinds_that_are_refused() -> None:
    shown = {kind.strip("`"): refused for kind, refused, _ in rows("| kind | refused |")}
    assert shown.keys() == set(KINDS)
    for kind, refused in shown.items():
        assert ("0124" if kind == "burned-in-annotation" else "0122") in refused
        expected = "always" if kind in NEVER else "by default" if kind in BY_DEFAULT else "if you say so"
        assert refused.startswith(expected)


def test_options() -> None:
    shown = {option for row in rows("| option | |") for option in re.findall(r"`(?:--)?([\w-]+)", row[0])}
    declared = fake_settings(DeidentifyPlugin()).options
    assert {option.replace("-", "_") for option in shown} == set(declared)


def test_actions_of_rules() -> None:
    shown = {action for row in rows("| action | what it does | for |") for action in re.findall(r"`(\w+)`", row[0])}
    assert shown == set(get_args(get_type_hints(Rule)["action"]))


def test_numbers() -> None:
    assert f"moved back by 1 to {MOST_DAYS} days" in PAGE
    assert f"{MOST_LARGE >> 20} MiB" in PAGE
    assert f"edition {table.EDITION}" in PAGE


@pytest.mark.parametrize("text", re.findall(r"```toml\n(.*?)```", PAGE + README, re.DOTALL), ids=range(3))
def test_settings(text: str) -> None:
    options = tomllib.loads(text)["plugins"]["deidentify"]
    rules = [Rule(**rule) for rule in options.pop("rules", ())]
    plans = Plans(options.get("deidentify_options", ()), rules)
    plans.make_all()
    assert options.keys() <= set(fake_settings(DeidentifyPlugin()).options)
    assert set(options.get("deidentify_options", ())) <= set(table.OPTIONS)
    assert set(options.get("deidentify_refuse", ())) <= set(KINDS)
