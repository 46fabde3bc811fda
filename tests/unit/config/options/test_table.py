"""The table of options against the original's help, the settings and itself."""

from __future__ import annotations

import dataclasses
import re

import pytest

from dcmrecv_core.api.errors import CommandLineError
from dcmrecv_core.config.options.option import LARGEST_INTEGER, Option, Value, scan_integer, valued
from dcmrecv_core.config.options.table import BY_NAME, OPTIONS
from dcmrecv_core.settings.settings import Settings
from support.programs.original import original

OURS = {
    "--plugin",
    "--plugins-dir",
    "--reload-plugins",
    "--new-plugin",
    "--template",
    "--list-plugins",
    "--trace-hooks",
    "--explain",
    "--as",
    "--to",
    "--json",
    "--promiscuous",
    "--prefer",
    "--proxy-from",
    "--max-associations",
    "--max-per-peer",
    "--idle-eviction",
    "--drain",
    "--max-request",
    "--min-free",
    "--progress-timeout",
    "--min-rate",
    "--max-instance",
    "--hook-timeout",
    "--worker-memory",
    "--recycle-after",
    "--fsync",
    "--no-fsync",
    "--strict-fsync",
    "--strict",
    "--bind",
    "--ipv4",
    "--ipv6",
    "--ip-auto",
    "--state-dir",
    "--layout",
    "--layout-limit",
    "--on-duplicate",
    "--settings",
    "--dump-settings",
    "--log-format",
    "--log-uids",
    "--study-timeout",
    "--deliver-attempts",
    "--deliver-processes",
    "--journal",
    "--journal-flush",
    "--digest",
}


def original_options() -> dict[str, tuple[str, int]]:
    """Long name -> short name and number of values, of every option of the original."""
    text = original(["--help"]).stdout
    rows = re.findall(r"^ {2,4}([-+]\w+)? +(--[\w-]+) +(.*)$", text, re.MULTILINE)
    return {long: (short, len(re.findall(r"\[\w\]", rest))) for short, long, rest in rows}


@pytest.mark.dcmtk
def test_every_option_of_the_original_is_there() -> None:
    expected = original_options()
    assert len(expected) == 53
    assert {option.long: (option.short, option.arity) for option in OPTIONS if option.long not in OURS} == expected


def test_names_are_unique() -> None:
    names = [name for option in OPTIONS for name in (option.long, option.short) if name]
    assert len(names) == len(set(names)) == len(BY_NAME)


def test_options_set_fields_of_the_settings() -> None:
    fields = {field.name for field in dataclasses.fields(Settings)}
    for option in OPTIONS:
        assert {*option.sets, *([option.key] if option.key else [])} <= fields


def test_an_option_either_has_values_or_sets_something() -> None:
    for option in OPTIONS:
        assert bool(option.values) == bool(
            option.key or option.action == "new-plugin" or option.long in ("--as", "--to", "--template")
        )
        assert not (option.values and option.sets)


@pytest.mark.parametrize("option", [option for option in OPTIONS if "(default)" in option.help], ids=lambda o: o.long)
def test_what_the_help_calls_default_is(option: Option) -> None:
    assert {key: getattr(Settings(), key) for key in option.sets} == option.sets


@pytest.mark.parametrize(
    ("option", "default"),
    [(option, option.default) for option in OPTIONS if option.default.isdigit()],
    ids=lambda value: getattr(value, "long", value),
)
def test_shown_numbers_are_the_defaults(option: Option, default: str) -> None:
    assert getattr(Settings(), option.key) == option.convert((default,))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5", 5),
        (" \t\n\v\f\r5", 5),
        ("+5", 5),
        ("007", 7),
        ("5x", 5),
        ("1.9", 1),
        ("1e4", 1),
        ("0x10", 0),
        ("2147483648", LARGEST_INTEGER),
        ("9" * 5000, LARGEST_INTEGER),
        ("0" * 5000 + "1", 1),
        ("-5", None),
        (" -0", None),
        ("+-5", None),
        ("+ 5", None),
        ("x5", None),
        ("\N{ARABIC-INDIC DIGIT FIVE}", None),
        ("\N{NO-BREAK SPACE}5", None),
        ("", None),
    ],
)
def test_numbers_are_read_as_by_scanf(text: str, number: int | None) -> None:
    assert scan_integer(text) == number


def test_signed_numbers() -> None:
    assert scan_integer(" -5x", signed=True) == -5


def test_several_values_become_a_tuple() -> None:
    option = valued("--two", "", Value("name"), Value("count", "integer", 2, 3))
    assert option.convert(("a", "2")) == ("a", 2)
    with pytest.raises(CommandLineError, match=r"^Invalid value for option --two \(overflow: 4\)$"):
        option.convert(("a", "4"))
