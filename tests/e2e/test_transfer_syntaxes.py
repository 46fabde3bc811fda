"""Senders propose transfer syntaxes in their own ways to -pm; what arrives can be read by pydicom and by DCMTK."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID
from pynetdicom import AE, build_context

from support.data.samples import TEST_FILES
from support.programs.receivers import Receiver, Start, dcmtk
from support.uids import BIG_ENDIAN, EXPLICIT_LE, IMPLICIT_LE

pytestmark = [pytest.mark.dcmtk, pytest.mark.filterwarnings("ignore::UserWarning:pydicom")]

OPTIONS = {
    "CT_small.dcm": "-x=",
    "rtdose_1frame.dcm": "-x=",
    "ExplVR_BigEnd.dcm": "-x=",
    "image_dfl.dcm": "-xd",
    "SC_rgb_small_odd_jpeg.dcm": "-xy",
    "JPGExtended.dcm": "-xx",
    "SC_rgb_jpeg_gdcm.dcm": "-xs",
    "MR_small_jpeg_ls_lossless.dcm": "-xt",
    "JPEGLSNearLossless_08.dcm": "-xu",
    "MR_small_jp2klossless.dcm": "-xv",
    "JPEG2000.dcm": "-xw",
    "SC_rgb_rle.dcm": "-xr",
}
"""A file of pydicom for each transfer syntax that it has files in and DCMTK proposes, with the option of storescu."""

UNCOMPRESSED = (IMPLICIT_LE, BIG_ENDIAN, EXPLICIT_LE)

Files = dict[Path, Dataset]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Copies with a SOP Instance UID each: some of pydicom's have the same one."""
    copies = {}
    for number, name in enumerate(OPTIONS):
        dataset = dcmread(next(TEST_FILES.rglob(name)))
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.4.{number}")
        dataset.save_as(tmp_path / name)
        copies[tmp_path / name] = dataset
    syntaxes = {dataset.file_meta.TransferSyntaxUID for dataset in copies.values()}
    assert len(syntaxes) == len(OPTIONS)
    return copies


def check(receiver: Receiver, files: Files, *unchanged: str) -> None:
    """All of `files` are there: compressed ones and `unchanged` transfer syntaxes as they were, uncompressed ones in
    explicit VR little endian."""
    stored = {}
    for name in receiver.files():
        path = receiver.output / name
        dataset = dcmread(path)
        dataset.decode()
        stored[dataset.SOPInstanceUID] = dataset
        for program, *arguments in (("dcmdump", path), ("dcmconv", "+t=", path, receiver.output.with_name("again"))):
            done = dcmtk(program, *arguments)
            assert (done.returncode, "E: " in done.stderr) == (0, False), done.stderr
    assert stored.keys() == {sent.SOPInstanceUID for sent in files.values()}
    for sent in files.values():
        found = stored[sent.SOPInstanceUID]
        syntax = sent.file_meta.TransferSyntaxUID
        changes = syntax in UNCOMPRESSED and syntax not in unchanged
        assert found.file_meta.TransferSyntaxUID == (EXPLICIT_LE if changes else syntax)
        assert found.get("PatientName") == sent.get("PatientName")
        if syntax != BIG_ENDIAN:
            assert found.PixelData == sent.PixelData


def test_dcmsend(ours: Start, files: Files) -> None:
    receiver = ours("-pm")
    done = dcmtk("dcmsend", "-dn", "+ma", "localhost", receiver.port, *files)
    assert done.returncode == 0, done.stdout + done.stderr
    check(receiver, files)


def test_storescu_with_the_option_for_each_transfer_syntax(ours: Start, files: Files) -> None:
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


def test_storescu_with_profiles(ours: Start, files: Files, tmp_path: Path) -> None:
    """All in one context, first those that are chosen last."""
    receiver = ours("-pm")
    for path, dataset in files.items():
        listed = dict.fromkeys((*UNCOMPRESSED[:2], dataset.file_meta.TransferSyntaxUID, EXPLICIT_LE))
        lines = "\n".join(f"TransferSyntax{number} = {uid}" for number, uid in enumerate(listed, 1))
        (tmp_path / "profile").write_text(PROFILE.format(syntaxes=lines, sop_class=dataset.SOPClassUID))
        done = dcmtk("storescu", "-xf", tmp_path / "profile", "Default", "localhost", receiver.port, path)
        assert done.returncode == 0, done.stdout + done.stderr
    check(receiver, files)


def test_pynetdicom(ours: Start, files: Files) -> None:
    """A context for each class with pynetdicom's own list, implicit VR first; and for what it does not convert."""
    receiver = ours("-pm")
    pairs = dict.fromkeys((sent.SOPClassUID, sent.file_meta.TransferSyntaxUID) for sent in files.values())
    own = [build_context(uid, syntax) for uid, syntax in pairs if syntax not in (IMPLICIT_LE, EXPLICIT_LE)]
    ae = AE()
    ae.requested_contexts = [build_context(uid) for uid in dict.fromkeys(uid for uid, _ in pairs)] + own
    association = ae.associate("127.0.0.1", receiver.port)
    assert association.is_established
    for path in files:
        assert association.send_c_store(path).Status == 0x0000
    association.release()
    check(receiver, files, BIG_ENDIAN)
