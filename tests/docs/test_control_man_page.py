"""docs/dcmrecvctl.1, the man page, has the program's commands, and docs/dcmrecvctl.md the same ones."""

from __future__ import annotations

import re

from dcmrecv_core.ctl.main import parser
from support.docs.blocks import PAGES, WRITE
from support.docs.control_man_page import PAGE, page


def test_it_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), WRITE


def test_it_has_each_command() -> None:
    text = PAGE.read_text()
    for command in ("status", "top", "refusals", "reload", "queue list", "queue drop"):
        assert f".SS {command}\n" in text
    assert "\\fB\\-\\-from\\fR \\fITITLE\\fR" in text


def test_no_line_is_a_request_by_accident() -> None:
    for line in PAGE.read_text().splitlines():
        assert line and line == line.rstrip() and not line.startswith("'")
        if line.startswith("."):
            assert re.match(r"\.(?:TH|SH|SS|TP|SY|YS|[BIR]|BR|RI)(?: |$)", line), line


def test_the_page_names_each_command() -> None:
    named = set(re.findall(r"^\| \[`(\w[\w-]*)`\]", PAGES["dcmrecvctl.md"], re.MULTILINE))
    choices = next(action.choices for action in parser()._actions if action.choices)
    assert named == set(choices)


def test_exit_codes_are_those_of_the_page() -> None:
    codes = re.findall(r"^\.B (\d+)$", PAGE.read_text(), re.MULTILINE)
    assert codes == re.findall(r"^\| (\d+) \|", PAGES["dcmrecvctl.md"], re.MULTILINE)
