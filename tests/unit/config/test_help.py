"""What the program prints about itself."""

from __future__ import annotations

import re

import pytest

from dcmrecv_core import compiled
from dcmrecv_core.api.errors import CommandLineError, PluginError
from dcmrecv_core.api.options import PluginOptionRegistry
from dcmrecv_core.api.version import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dcmrecv_core.config.help import VERSION_LINE, error_text, help_text, version_text
from dcmrecv_core.config.options.table import OPTIONS


def test_every_option_has_its_line() -> None:
    text = help_text()
    for option in OPTIONS:
        assert re.search(rf"^ {{2,4}}{re.escape(option.short)} +{option.long} +\S", text, re.MULTILINE)


def test_options_of_plugins_have_sections() -> None:
    registry = PluginOptionRegistry()
    registry.of("site").add("--root", value="directory", default="/data", help="the root\nof all")
    registry.of("other").add("--an-option-with-a-long-name-indeed", help="long")
    registry.of("site").add("--flag")
    assert help_text(registry).partition("options of plugin ")[2] == (
        "other:\n"
        "          --an-option-with-a-long-name-indeed\n"
        "                                 long\n"
        "options of plugin site:\n"
        "          --root                 directory (default: /data)\n"
        "                                 the root\n"
        "                                 of all\n"
        "          --flag\n\n"
    )


def test_version_names_program_and_libraries() -> None:
    assert version_text().startswith(VERSION_LINE)
    assert re.fullmatch(r"\$dcmrecv: dcmrecv v\d+\.\d+\.\d+ \d{4}-\d\d-\d\d \$", VERSION_LINE)
    assert re.search(r"^- pydicom \d", version_text(), re.MULTILINE)


@pytest.mark.parametrize(("available", "said"), [(True, "compiled"), (False, "pure Python")])
def test_version_says_whether_there_are_compiled_parts(
    monkeypatch: pytest.MonkeyPatch, available: bool, said: str
) -> None:
    monkeypatch.setattr(compiled, "AVAILABLE", available)
    assert re.search(rf"^Build options: .*, {said}$", version_text(), re.MULTILINE)


def test_errors() -> None:
    header = f"{VERSION_LINE}\n\ndcmrecv: Simple DICOM storage SCP (receiver)\n"
    assert error_text(PluginError("plugin x: no")) == f"{header}error: plugin x: no\n"
    error = CommandLineError("Missing parameter port")
    assert error_text(error) == f"{header}error: Missing parameter port\n"
    error.quiet, error.arguments = True, "I: shown\n"
    assert error_text(error) == "I: shown\n"


def test_implementation_is_identified_within_the_limits() -> None:
    root, number = IMPLEMENTATION_CLASS_UID.split("2.25.")
    assert root == ""
    assert 0 < int(number) < 2**128
    assert len(IMPLEMENTATION_VERSION_NAME) <= 16


def test_fault_24_a_hint_follows_the_error() -> None:
    error = CommandLineError("Unknown option --fork", hint="see there")
    assert error_text(error).endswith("\nerror: Unknown option --fork\nhint: see there\n")
    error.quiet = True
    assert error_text(error) == ""
