"""What docs/migrating.md says to write instead of storescp's options gives files the names that storescp gives them."""

from __future__ import annotations

import re
import shlex
import signal
from pathlib import Path

import pytest

from support.data.samples import pydicom_files
from support.paths import DOCS
from support.programs.receivers import Receiver, Start, dcmtk, start_on_port, system_program

pytestmark = pytest.mark.dcmtk

PAGE = (DOCS / "migrating.md").read_text()
FILES = [path for path in pydicom_files() if path.name in ("CT_small.dcm", "MR_small.dcm", "rtplan.dcm")]
ROWS = {
    "-uf": (),
    "+uf": (),
    "-su p": (),
    "-uf -fe .dcm": ("-fe", ".dcm"),
}
"""storescp's options, and the options added to those that the page has for the first of them."""


def instead_of(option: str) -> list[str]:
    """Our options, from the page."""
    [said] = re.findall(rf"^\| `{re.escape(option)}`, `--[\w-]+` \| `(.+?)`", PAGE, re.MULTILINE)
    return shlex.split(said)


def without_numbers(names: list[str]) -> list[str]:
    """The names with UID in place of new UIDs."""
    return [re.sub(r"(?<=\.X\.)[\d.]*\d", "UID", name) for name in names]


@pytest.mark.parametrize("options", ROWS)
def test_names(options: str, ours: Start, directory: Path, started: list[Receiver]) -> None:
    words = shlex.split(options)
    home = directory / "storescp"
    home.mkdir()
    command = [system_program("storescp"), "-dhl", "-od", "out", *words]
    theirs = start_on_port(home, *command, clean_exit=-signal.SIGTERM)
    started.append(theirs)
    mine = ours("-pm", *instead_of(words[0]), *ROWS[options])
    for receiver in (theirs, mine):
        done = dcmtk("storescu", "localhost", receiver.port, *FILES)
        assert done.returncode == 0, done.stdout + done.stderr
    assert without_numbers(mine.files()) == without_numbers(theirs.files())
    assert len(mine.files()) == len(FILES) == 3
