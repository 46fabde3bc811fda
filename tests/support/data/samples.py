"""Data sets to send: those of pydicom's test files, and small ones in every transfer syntax."""

from __future__ import annotations

import io
import warnings
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pydicom
from pydicom.filereader import _read_file_meta_info, read_file_meta_info, read_preamble
from pydicom.uid import (
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from support.data.datasets import deflate, encapsulated_pixel_data, identification, pixel_data
from support.uids import CT, DICOMDIR, PRIVATE_SYNTAX

PYDICOM_DATA = Path(pydicom.__file__).parent / "data"
TEST_FILES = PYDICOM_DATA / "test_files"


class Sample(NamedTuple):
    """An encoded data set to send."""

    name: str
    sop_class: str
    sop_instance: str
    transfer_syntax: str
    data: bytes


@cache
def pydicom_files() -> tuple[Path, ...]:
    """The Part 10 files of the wheel of pydicom that name their storage SOP class and instance."""
    return tuple(sample[0] for sample in _read_all())


@cache
def pydicom_samples() -> tuple[Sample, ...]:
    return tuple(sample for _, sample in _read_all())


@cache
def _read_all() -> tuple[tuple[Path, Sample], ...]:
    found = {}
    for path in sorted(PYDICOM_DATA.rglob("*.dcm")):
        sample = sample_of(path)
        if sample is not None:
            found[path.name] = (path, sample)
    return tuple(found.values())


def sample_of(path: Path) -> Sample | None:
    """The data set of a Part 10 file; None if it does not name its storage SOP class and instance."""
    content = path.read_bytes()
    if content[128:132] != b"DICM":
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        meta = read_file_meta_info(path)
    length = meta.get("FileMetaInformationGroupLength")
    instance = str(meta.get("MediaStorageSOPInstanceUID", ""))
    sop_class = str(meta.get("MediaStorageSOPClassUID", ""))
    if length is None or not instance or sop_class in ("", DICOMDIR):
        return None
    return Sample(path.name, sop_class, instance, str(meta.TransferSyntaxUID), content[144 + length :])


@cache
def made_samples() -> tuple[Sample, ...]:
    """A small data set in every transfer syntax that pydicom knows, and in a private one."""
    return tuple(
        Sample(f"made-{uid}", CT, f"1.2.826.0.1.3680043.9.9999.3.{number}", uid, _made(uid, number))
        for number, uid in enumerate([*map(str, AllTransferSyntaxes), PRIVATE_SYNTAX])
    )


def _made(uid: str, number: int) -> bytes:
    instance = f"1.2.826.0.1.3680043.9.9999.3.{number}"
    if uid == ImplicitVRLittleEndian:
        return identification(CT, instance, explicit=False)
    if uid == ExplicitVRBigEndian:
        return identification(CT, instance, little=False)
    if uid == DeflatedExplicitVRLittleEndian or uid.endswith(".4.205"):
        return deflate(identification(CT, instance), padded=True)
    if uid == ExplicitVRLittleEndian:
        return identification(CT, instance) + pixel_data()
    if ".1.2.7." in uid or uid.endswith(".4.204"):  # these have no pixels in the data set
        return identification(CT, instance)
    return identification(CT, instance) + encapsulated_pixel_data()


def data_set_of(path: Path) -> tuple[str, bytes] | None:
    """Transfer syntax and data set of a file; None if it is not a DICOM file."""
    stream = io.BytesIO(path.read_bytes())
    try:
        read_preamble(stream, False)
        uid = _read_file_meta_info(stream).TransferSyntaxUID
    except (pydicom.errors.InvalidDicomError, AttributeError):
        return None
    return uid, stream.read()


def data_set_files() -> list[Path]:
    return [path for path in sorted(TEST_FILES.rglob("*")) if path.is_file() and data_set_of(path)]
