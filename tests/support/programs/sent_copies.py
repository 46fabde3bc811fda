"""Copies of pydicom's files, one for each transfer syntax, and whether a receiver has stored them so that programs can
read them."""

from __future__ import annotations

from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import UID

from support.data.samples import TEST_FILES
from support.programs.receivers import Receiver, dcmtk
from support.uids import BIG_ENDIAN, EXPLICIT_LE, IMPLICIT_LE

OPTIONS = {
    "CT_small.dcm": "-x=",
    "MR_small_implicit.dcm": "-x=",
    "MR_small_bigendian.dcm": "-x=",
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
"""A file for each transfer syntax that pydicom has files in and DCMTK proposes, with the option of storescu."""

UNCOMPRESSED = (IMPLICIT_LE, BIG_ENDIAN, EXPLICIT_LE)

Copies = dict[Path, Dataset]


def make_copies(directory: Path) -> Copies:
    """Copies with a SOP Instance UID each: some of pydicom's files have the same one."""
    copies = {}
    for number, name in enumerate(OPTIONS):
        dataset = dcmread(next(TEST_FILES.rglob(name)))
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.4.{number}")
        dataset.save_as(directory / name)
        copies[directory / name] = dataset
    syntaxes = {dataset.file_meta.TransferSyntaxUID for dataset in copies.values()}
    assert len(syntaxes) == len(OPTIONS)
    return copies


def check(receiver: Receiver, copies: Copies, *unchanged: str) -> None:
    """All of them are there: compressed ones and `unchanged` transfer syntaxes as they were, uncompressed ones in
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
    assert stored.keys() == {sent.SOPInstanceUID for sent in copies.values()}
    for sent in copies.values():
        found = stored[sent.SOPInstanceUID]
        syntax = sent.file_meta.TransferSyntaxUID
        changes = syntax in UNCOMPRESSED and syntax not in unchanged
        assert found.file_meta.TransferSyntaxUID == (EXPLICIT_LE if changes else syntax)
        assert found.get("PatientName") == sent.get("PatientName")
        assert _pixels(found) == _pixels(sent)


def _pixels(dataset: Dataset) -> list[bytes]:
    """The frames, of big endian ones each two bytes swapped: a sender may make new fragments of compressed ones."""
    if dataset.file_meta.TransferSyntaxUID.is_compressed and not dataset.file_meta.TransferSyntaxUID.is_deflated:
        return list(generate_frames(dataset.PixelData, number_of_frames=1))
    if dataset.file_meta.TransferSyntaxUID == BIG_ENDIAN:
        swapped = bytearray(dataset.PixelData)
        swapped[::2], swapped[1::2] = swapped[1::2], swapped[::2]
        return [bytes(swapped)]
    return [bytes(dataset.PixelData)]
