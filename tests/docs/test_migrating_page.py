"""docs/migrating.md has every option of DCMTK dcmrecv and storescp, and says "same" only for options that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from dcmrecv_core.api.errors import StartError
from dcmrecv_core.config.options import storescp
from dcmrecv_core.config.options.table import BY_NAME
from support.docs.blocks import PAGES

PAGE = PAGES["migrating.md"]
FROM_DCMRECV, FROM_STORESCP = PAGE.partition("## From storescp")[::2]
COMMON = {"-xf", "-ta", "-td", "-pdu", "-dhl", "-od", "-B", "+B", "--ignore", "-fe"}
"""storescp's network and output options that the text names outside the table."""

pytestmark = pytest.mark.dcmtk


def rows(text: str) -> dict[tuple[str, ...], str]:
    """The names of each option, and the text about it."""
    found = re.findall(r"^\| ((?:`[-+]\S+`(?:, )?)+) \| (.*) \|$", text, re.MULTILINE)
    return {tuple(re.findall(r"`(\S+)`", names)): said for names, said in found}


def options_of(program: str) -> list[tuple[str, ...]]:
    done = subprocess.run([Path("/usr/bin", program), "--help"], capture_output=True, text=True, timeout=20, check=True)
    found = re.findall(r"^ {2,4}([-+]\S+)? +(--[\w-]+)", done.stdout, re.MULTILINE)
    return [tuple(filter(None, names)) for names in found]


def test_every_option_of_dcmrecv() -> None:
    assert list(rows(FROM_DCMRECV)) == options_of("dcmrecv")


def test_every_option_of_storescp() -> None:
    described, others = rows(FROM_STORESCP), set(rows(FROM_DCMRECV))
    missing = [names for names in options_of("storescp") if names not in described]
    beside = COMMON | {name for names in others for name in names if names not in described}
    assert all(set(names) <= beside for names in missing), missing
    assert {names[0] for names in missing} >= COMMON
    assert list(described) == [names for names in options_of("storescp") if names in described]


@pytest.mark.parametrize("names", rows(FROM_DCMRECV), ids=" ".join)
def test_there_is_such_an_option(names: tuple[str, ...]) -> None:
    assert {BY_NAME[name].long for name in names} == {names[-1]}


def test_fault_24_options_of_storescp_that_the_command_line_points_to() -> None:
    assert {name for names in rows(FROM_STORESCP) for name in names} - BY_NAME.keys() == storescp.NAMES


def test_exit_codes() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d+) \| ", FROM_DCMRECV, re.MULTILINE)}
    assert codes == {0} | {error.exit_code for error in [StartError, *StartError.__subclasses__()]}
