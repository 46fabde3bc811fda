"""What docs/migrating.md says to write instead of storescp's options: file names and transfer syntaxes are the same."""

from __future__ import annotations

import re
import shlex
import signal
from pathlib import Path

import pytest

from dcmrecv_core.api.model import ProposedContext
from dcmrecv_core.api.options import PluginOptionRegistry
from dcmrecv_core.api.verdicts import SupportedContext
from dcmrecv_core.config.commandline import parse
from dcmrecv_core.proto.negotiation import negotiate
from dcmrecv_core.settings.uids import uid_of
from support.data.samples import pydicom_files
from support.paths import DOCS
from support.programs.receivers import Receiver, Start, dcmtk, start_on_port, system_program
from support.protocol.raw_sender import RawAssociation
from support.uids import BIG_ENDIAN, CT, EXPLICIT_LE, FIND, IMPLICIT_LE, JPEG, JPIP, MR, PRIVATE_CLASS, PRIVATE_SYNTAX

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


@pytest.fixture
def storescp(directory: Path, started: list[Receiver]) -> Start:
    def start(*options: object) -> Receiver:
        home = directory / "storescp"
        home.mkdir()
        command = [system_program("storescp"), "-dhl", "-od", "out", *options]
        started.append(start_on_port(home, *command, clean_exit=-signal.SIGTERM))
        return started[-1]

    return start


@pytest.mark.parametrize("options", ROWS)
def test_names(options: str, ours: Start, storescp: Start) -> None:
    words = shlex.split(options)
    theirs, mine = storescp(*words), ours("-pm", *instead_of(words[0]), *ROWS[options])
    for receiver in (theirs, mine):
        done = dcmtk("storescu", "localhost", receiver.port, *FILES)
        assert done.returncode == 0, done.stdout + done.stderr
    assert without_numbers(mine.files()) == without_numbers(theirs.files())
    assert len(mine.files()) == len(FILES) == 3


UNCOMPRESSED = [IMPLICIT_LE, BIG_ENDIAN, EXPLICIT_LE]
PREFERRING = re.findall(r"^\| `(\+x.)`, `--prefer-[\w-]+` \| `--prefer ", PAGE, re.MULTILINE)
COMPRESSED = [uid for option in PREFERRING if (uid := uid_of(instead_of(option)[1])) not in UNCOMPRESSED]


def test_every_preferred_transfer_syntax_is_compared() -> None:
    assert len(PREFERRING) == PAGE.count("`, `--prefer-") == 21


PROPOSAL = [(uid, syntaxes) for uid in (CT, PRIVATE_CLASS) for syntaxes in (UNCOMPRESSED + COMPRESSED, UNCOMPRESSED)]
"""All that storescp may prefer, and the uncompressed ones; for a private class as well."""


@pytest.mark.parametrize("option", PREFERRING)
def test_preferred_transfer_syntax(option: str, storescp: Start) -> None:
    settings = parse(["-pm", *instead_of(option), "104"], PluginOptionRegistry()).settings
    proposed = [ProposedContext(2 * n + 1, uid, tuple(syntaxes)) for n, (uid, syntaxes) in enumerate(PROPOSAL)]
    answer = negotiate(proposed, [SupportedContext(uid, None) for uid, _ in PROPOSAL], settings.prefer)
    chosen = {number: syntax for number, (_, syntax) in answer.accepted.items()}
    assert chosen == accepted_by(storescp("-pm", option), PROPOSAL)


def test_preferred_transfer_syntax_of_a_receiver(ours: Start, storescp: Start) -> None:
    assert accepted_by(ours("-pm", *instead_of("+xs")), PROPOSAL) == accepted_by(storescp("-pm", "+xs"), PROPOSAL)


def test_implicit_only(ours: Start, storescp: Start) -> None:
    [table] = re.findall(r"^\[\[contexts\]\]\nabstract_syntax = \"\*\"\n.*\n", PAGE, re.MULTILINE)
    theirs, mine = storescp("+xi"), ours("--settings", "implicit.toml", files={"implicit.toml": table})
    proposal = [(CT, UNCOMPRESSED), (MR, COMPRESSED), (CT, [EXPLICIT_LE])]
    assert accepted_by(mine, proposal) == accepted_by(theirs, proposal)


def test_order_of_promiscuous(ours: Start, storescp: Start) -> None:
    """The table of the page: same order of the uncompressed ones, and then what differs on purpose."""
    theirs, mine = storescp("-pm"), ours("-pm")
    proposal = [(CT, UNCOMPRESSED), (CT, [JPEG, EXPLICIT_LE]), (CT, [JPEG]), (CT, [JPIP, PRIVATE_SYNTAX, JPEG])]
    proposal += [(PRIVATE_CLASS, [IMPLICIT_LE]), (FIND, [IMPLICIT_LE])]
    same = {1: EXPLICIT_LE, 9: IMPLICIT_LE}
    assert accepted_by(theirs, proposal) == same | {3: EXPLICIT_LE}
    assert accepted_by(mine, proposal) == same | {3: JPEG, 5: JPEG, 7: JPEG}


def accepted_by(receiver: Receiver, proposal: list[tuple[str, list[str]]]) -> dict[int, str]:
    """Transfer syntaxes of the accepted contexts."""
    with RawAssociation(receiver.port, proposal) as association:
        association.release()
        return {number: syntax for number, (result, syntax) in association.accepted.items() if result == 0}
