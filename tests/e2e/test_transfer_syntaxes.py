"""Senders propose transfer syntaxes in their own ways to -pm; what arrives can be read by pydicom and by DCMTK."""

from __future__ import annotations

from pathlib import Path

import pytest
from pynetdicom import AE, build_context

from dcmrecv_core.testing.sending import await_pause_over
from support.programs.receivers import Start, dcmtk
from support.programs.sent_copies import OPTIONS, UNCOMPRESSED, Copies, check, make_copies
from support.uids import BIG_ENDIAN, EXPLICIT_LE, IMPLICIT_LE

pytestmark = [pytest.mark.dcmtk, pytest.mark.filterwarnings("ignore::UserWarning:pydicom")]


@pytest.fixture
def files(tmp_path: Path) -> Copies:
    return make_copies(tmp_path)


def test_dcmsend(ours: Start, files: Copies) -> None:
    receiver = ours("-pm")
    done = dcmtk("dcmsend", "-dn", "+ma", "localhost", receiver.port, *files)
    assert done.returncode == 0, done.stdout + done.stderr
    check(receiver, files)


def test_storescu_with_the_option_for_each_transfer_syntax(ours: Start, files: Copies) -> None:
    """It proposes implicit VR in a context of its own, and uses that for files that have it."""
    receiver = ours("-pm")
    for path in files:
        done = dcmtk("storescu", OPTIONS[path.name], "localhost", receiver.port, path)
        assert done.returncode == 0, done.stdout + done.stderr
    check(receiver, files, IMPLICIT_LE)


PROFILE = """\
[[TransferSyntaxes]]
[Listed]
{syntaxes}
[[PresentationContexts]]
[Contexts]
PresentationContext1 = {sop_class}\\Listed
[[Profiles]]
[Default]
PresentationContexts = Contexts
"""


def test_storescu_with_profiles(ours: Start, files: Copies, tmp_path: Path) -> None:
    """All in one context, first those that are chosen last."""
    receiver = ours("-pm")
    for path, dataset in files.items():
        listed = dict.fromkeys((*UNCOMPRESSED[:2], dataset.file_meta.TransferSyntaxUID, EXPLICIT_LE))
        lines = "\n".join(f"TransferSyntax{number} = {uid}" for number, uid in enumerate(listed, 1))
        (tmp_path / "profile").write_text(PROFILE.format(syntaxes=lines, sop_class=dataset.SOPClassUID))
        done = dcmtk("storescu", "-xf", tmp_path / "profile", "Default", "localhost", receiver.port, path)
        assert done.returncode == 0, done.stdout + done.stderr
    check(receiver, files)


def test_pynetdicom(ours: Start, files: Copies) -> None:
    """A context for each class with pynetdicom's own list, implicit VR first; and for what it does not convert."""
    receiver = ours("-pm")
    pairs = dict.fromkeys((sent.SOPClassUID, sent.file_meta.TransferSyntaxUID) for sent in files.values())
    own = [build_context(uid, syntax) for uid, syntax in pairs if syntax not in (IMPLICIT_LE, EXPLICIT_LE)]
    ae = AE()
    ae.requested_contexts = [build_context(uid) for uid in dict.fromkeys(uid for uid, _ in pairs)] + own
    association = ae.associate("127.0.0.1", receiver.port)
    assert association.is_established
    for path in files:
        await_pause_over(association)
        assert association.send_c_store(path).Status == 0x0000
    association.release()
    check(receiver, files, BIG_ENDIAN)
