"""docs/dcmrecv.1, the man page, has the program's table of options, version and exit codes."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from dcmrecv_core.api import errors
from dcmrecv_core.config.configuration import Configuration
from dcmrecv_core.config.options.table import OPTIONS
from support.docs.blocks import WRITE
from support.docs.man_page import PAGE, generated


def sections() -> dict[str, str]:
    return dict(re.findall(r"^\.SH (.+)\n((?:(?!\.SH ).*\n)*)", PAGE.read_text(), re.MULTILINE))


def test_it_is_up_to_date() -> None:
    assert PAGE.read_text() == generated(PAGE.read_text()), WRITE


def test_exit_codes() -> None:
    codes = {int(code) for code in re.findall(r"^\.B (\d+)$", sections()["EXIT STATUS"], re.MULTILINE)}
    kinds = [error for error in vars(errors).values() if isinstance(error, type)]
    assert codes == {error.exit_code for error in kinds if issubclass(error, errors.StartError)} | {0}


def test_options_in_the_text_exist() -> None:
    """Bold words in the text are options, unless they belong to other programs."""
    names = {name for option in OPTIONS for name in (option.short, option.long)}
    prose = "".join(text for section, text in sections().items() if section not in ("OPTIONS", "EXAMPLES"))
    mentioned = {name.replace("\\-", "-") for name in re.findall(r"(?<![\w\\-])\\-(?:\\-)?\w[\w\\-]*", prose)}
    assert mentioned - {"-"} <= names | {"--help"}


EXAMPLES = [
    line.replace("\\-", "-").replace("\\(aq", "'").partition(" >")[0]
    for block in re.findall(r"^\.EX\n((?:(?!\.EE).*\n)*)", sections()["EXAMPLES"], re.MULTILINE)
    for line in block.splitlines()
]


@pytest.mark.dcmtk
@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_can_be_read(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy("/etc/dcmtk/storescp.cfg", tmp_path)
    (tmp_path / "archive.toml").write_text("port = 11112\n")
    (tmp_path / "mysite.py").write_text("")
    (tmp_path / "naming.py").write_text(
        "from dcmrecv_core import hookimpl\n@hookimpl\ndef choose_filename(instance):\n    return 'x'\n"
    )
    program, *arguments = shlex.split(example.replace("mysite.naming", "./naming.py"))
    assert program == "dcmrecv"
    assert Configuration(program, arguments, port_optional=False).line.settings.port == 11112


def test_no_line_is_a_request_by_accident() -> None:
    known = "TH|SH|SS|TP|PP|SY|YS|EX|EE|[BIR]|BR|RB|IR|RI|BI"
    for line in PAGE.read_text().splitlines():
        assert line
        assert not line.startswith("'")
        assert line == line.rstrip()
        if line.startswith("."):
            assert re.match(rf'\.(?:\\"|(?:{known})(?: |$))', line), line
