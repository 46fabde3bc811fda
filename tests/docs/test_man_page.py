"""docs/dcmrecv.1, the man page, has the program's table of options, version and exit codes. Run as a program, this
writes what is generated."""

from __future__ import annotations

import re
import shlex
import shutil
from itertools import groupby
from pathlib import Path

import pytest

from dcmrecv_core.api import errors
from dcmrecv_core.api.version import DATE, __version__
from dcmrecv_core.config.configuration import Configuration
from dcmrecv_core.config.options.option import Option
from dcmrecv_core.config.options.table import OPTIONS
from support.docs.blocks import DOCS
from support.docs.options_page import described, heading

PAGE = DOCS / "dcmrecv.1"
BEGIN, END = '.\\" options\n', '.\\" end of options\n'
TITLE = f'.TH DCMRECV 1 {DATE} "dcmrecv {__version__}" "User Commands"\n'

_LINE = 80
_ESCAPES = str.maketrans({"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti"})


def escaped(text: str) -> str:
    return text.translate(_ESCAPES)


def options() -> str:
    text = ""
    for section, members in groupby(OPTIONS, key=lambda option: option.section):
        text += f".SS {escaped(heading(section))}\n"
        for number, (group, together) in enumerate(groupby(members, key=lambda option: option.group)):
            if group:
                text += ".PP\n" * bool(number) + f".I {escaped(group[0].upper() + group[1:])}\n"
            text += "".join(map(entry, together))
    return text


def entry(option: Option) -> str:
    names = ", ".join(f"\\fB{escaped(name)}\\fR" for name in (option.short, option.long) if name)
    values = "".join(f" [\\fI{value.name[0]}\\fR]{value.name[1:]}" for value in option.values)
    limits = [described(value).partition(": ")[2] for value in option.values]
    notes = [note for note in limits if note] + ([f"default: {option.default}"] if option.default else [])
    sentence = option.help.replace("\n", " ") + "".join(f"; {note}" for note in notes)
    return f".TP\n{names}{values}\n{wrapped(escaped(sentence))}\n"


def wrapped(text: str) -> str:
    """Lines of at most eighty characters, none of which looks like a request."""
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + 1 + len(word) > _LINE and word[:1] not in (".", "'"):
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return "\n".join(lines)


def generated(page: str) -> str:
    """The page with what is generated as it has to be."""
    head, _, rest = page.partition(BEGIN)
    head = re.sub(r"\A\.TH .*\n", lambda match: TITLE, head)
    return head + BEGIN + options() + END + rest.partition(END)[2]


def sections() -> dict[str, str]:
    return dict(re.findall(r"^\.SH (.+)\n((?:(?!\.SH ).*\n)*)", PAGE.read_text(), re.MULTILINE))


def test_it_has_what_the_program_has() -> None:
    assert PAGE.read_text() == generated(PAGE.read_text()), f"run {__file__}"


def test_exit_codes() -> None:
    codes = {int(code) for code in re.findall(r"^\.B (\d+)$", sections()["EXIT STATUS"], re.MULTILINE)}
    kinds = [error for error in vars(errors).values() if isinstance(error, type)]
    assert codes == {error.exit_code for error in kinds if issubclass(error, errors.StartError)} | {0}


def test_options_in_the_text_exist() -> None:
    """What the prose names in bold is an option, unless it belongs to no program of ours."""
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


if __name__ == "__main__":
    PAGE.write_text(generated(PAGE.read_text()))
