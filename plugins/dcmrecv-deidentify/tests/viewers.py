"""What other programs say of a file: pydicom, DCMTK's dcmdump, dciodvfy of dicom3tools."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy
from pydicom import dcmread
from pydicom.dataset import Dataset

TYPES = {
    "AnnotationGroupUID": "a UID that the table replaces by a dummy",
    "ClinicalTrialProtocolEthicsCommitteeName": "removed; its approval number stays",
    "LongCodeValue": "the dummy is shorter than the standard wants",
    "PresentationCreationDate": "removed by the table",
    "PresentationCreationTime": "removed by the table",
    "RadiopharmaceuticalStartDateTime": "removed by the table",
    "ReferencedPerformedProcedureStepSequence": "removed or emptied by the table; its type differs between modules",
    "ReferencedStudySequence": "removed or emptied by the table; its type differs between modules",
    "RequestedProcedureID": "removed by the table",
    "ResponsibleOrganization": "removed; the role stays",
    "ResponsiblePerson": "removed; the role stays",
    "ResponsiblePersonRole": "it stays; the person is removed",
    "SourceManufacturer": "removed by the table",
}
"""Elements of which dciodvfy may say something new, because table E.1-1 does not ask for their type in each module."""
_REMOVED = re.compile(rf"<({'|'.join(TYPES)})>|^Error - LongCodeValue ")

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def program(name: str) -> str:
    """Its path; a test without it fails."""
    path = shutil.which(name)
    assert path is not None, f"{name} is not installed"
    return path


def pixel_bytes(dataset: Dataset) -> bytes:
    """The pixel data as they are in the file."""
    return b"".join(dataset[keyword].value for keyword in PIXELS if keyword in dataset)


def decodes(dataset: Dataset) -> numpy.ndarray | None:
    """The decoded pixels; None if pydicom cannot decode them: they are none, or the decoder is another package."""
    try:
        return dataset.pixel_array
    except (AttributeError, NotImplementedError, RuntimeError, ValueError):
        return None


def check_readable(before: Path, after: Path) -> None:
    """Every program reads what is stored as it reads what was sent, and the pixels are the same."""
    sent, stored = dcmread(before), dcmread(after)
    assert len([element.value for element in stored.iterall()]) > 4  # each can be decoded
    assert stored.PatientIdentityRemoved == "YES"
    assert pixel_bytes(stored) == pixel_bytes(sent)
    pixels = decodes(sent)
    if pixels is not None:
        assert numpy.array_equal(pixels, stored.pixel_array)
    if dumps(before):
        assert dumps(after)
    assert len(errors_of(after)) <= len(errors_of(before))


def check_types(before: Path, after: Path) -> None:
    """What is wrong afterwards was wrong before, but for TYPES."""
    errors = {error for error in errors_of(after) if not _REMOVED.search(error)}
    assert errors <= set(errors_of(before))


def dumps(path: Path) -> bool:
    """Whether dcmdump reads a file to its end."""
    done = subprocess.run(
        [program("dcmdump"), "-q", path], timeout=60, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    return done.returncode == 0 and not done.stderr


def errors_of(path: Path) -> list[str]:
    """What dciodvfy finds wrong."""
    done = subprocess.run([program("dciodvfy"), path], capture_output=True, text=True, errors="replace", timeout=60)
    lines = (done.stdout + done.stderr).splitlines()
    assert lines, "dciodvfy says nothing"
    return [line for line in lines if line.startswith("Error")]
