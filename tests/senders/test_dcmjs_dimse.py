"""dcmjs-dimse (JavaScript) proposes the transfer syntax of a file, and in another context implicit VR first."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.programs.receivers import Start, run, system_program
from support.programs.sent_copies import check, make_copies
from support.uids import BIG_ENDIAN, DEFLATED

SEND = Path(__file__).with_name("send.js")

pytestmark = [pytest.mark.dcmtk, pytest.mark.filterwarnings("ignore::UserWarning:pydicom")]


def test_each_transfer_syntax(ours: Start, tmp_path: Path) -> None:
    receiver = ours("-pm")
    copies = make_copies(tmp_path)
    # says deflated, and sends what is not
    [deflated] = [path for path, sent in copies.items() if sent.file_meta.TransferSyntaxUID == DEFLATED]
    done = run(system_program("node"), SEND, receiver.port, *copies, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr
    answers = {path: status for status, path in re.findall(r"^(\d+) (/.*)$", done.stdout, re.MULTILINE)}
    assert answers.pop(str(deflated)) == str(0xC000)
    assert set(answers.values()) == {"0"}
    del copies[deflated]
    check(receiver, copies, BIG_ENDIAN)
