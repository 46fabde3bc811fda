"""`--layout` and `--on-duplicate` on the command line, with DCMTK's storescu as the sender."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydicom import dcmread

from support.data.datasets import identification
from support.data.samples import PYDICOM_DATA
from support.data.stored_files import stored_file
from support.programs.receivers import Start, dcmtk, run
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

pytestmark = pytest.mark.dcmtk

PATTERN = "{PatientID}/{StudyDate:%Y/%m/%d}/{Modality}_{SeriesNumber:04d}/{InstanceNumber:06d}"
CT_SMALL = "1CT1/2004/01/19/CT_0001/000001"
MR_SMALL = "4MR1/2004/08/26/MR_0001/000001"


def sample(name: str) -> Path:
    return PYDICOM_DATA / "test_files" / name


def send(port: int, *files: Path) -> int:
    return dcmtk("storescu", "localhost", port, *files).returncode


def test_the_example(ours: Start) -> None:
    receiver = ours("-pm", "--layout", PATTERN, "-fe", ".dcm")
    assert send(receiver.port, sample("CT_small.dcm"), sample("MR_small.dcm")) == 0
    assert receiver.files() == [f"{CT_SMALL}.dcm", f"{MR_SMALL}.dcm"]


def test_duplicates(ours: Start, directory: Path) -> None:
    """The same instance twice, another content twice, and the first once more: two files."""
    changed = directory / "changed.dcm"
    dataset = dcmread(sample("CT_small.dcm"))
    dataset.PatientComments = "another"
    dataset.save_as(changed)
    receiver = ours("-pm", "--layout", PATTERN, "--on-duplicate", "rename")
    for file in (sample("CT_small.dcm"), sample("CT_small.dcm"), changed, changed, sample("CT_small.dcm")):
        assert send(receiver.port, file) == 0
    assert receiver.files() == [CT_SMALL, f"{CT_SMALL}~2"]
    assert "PatientComments" not in dcmread(receiver.output / CT_SMALL)


def test_long_paths_are_shortened_with_one_warning(ours: Start, directory: Path) -> None:
    pattern = '{PatientName:family}_{SeriesDescription||StudyDescription:replace("+","p")}/{SOPInstanceUID}.dcm'
    receiver = ours("-pm", "--layout", pattern, "--layout-limit", "60", "-fe", ".x")
    assert send(receiver.port, sample("CT_small.dcm"), sample("CT_small.dcm"), sample("MR_small.dcm")) == 0
    assert [re.sub("[0-9a-f]{16}", "", path) for path in receiver.files()] == [
        "CompressedSamples_UNKNOWN/1.3.6.1.4.1~.dcm.x",
        "CompressedSamples_ep1/1.3.6.1.4.1.596~.dcm.x",
    ]
    assert max(map(len, receiver.files())) == 60
    assert receiver.log.count("names of a path of") == 1


def test_a_malformed_pattern_ends_the_start(program: Path, directory: Path) -> None:
    ended = run(program, "--layout", "{PatientId}/{SOPInstanceUID}", 11112, cwd=directory)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-3:] == [
        "F: --layout: unknown field 'PatientId'; did you mean PatientID? (column 2)",
        "F:   {PatientId}/{SOPInstanceUID}",
        "F:    ^",
    ]


@pytest.mark.parametrize("action", ["", "replace"])
def test_an_unknown_action(program: Path, directory: Path, action: str) -> None:
    ended = run(program, "--on-duplicate", action, 11112, cwd=directory)
    assert ended.returncode == 1
    assert f"Invalid value for option --on-duplicate ({action})\nhint: give one of replace-same, " in ended.stderr


@pytest.mark.parametrize("end", [b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0"], ids=["item", "sequence"])
def test_fault_3_a_patient_id_after_a_stray_delimiter(ours: Start, end: bytes) -> None:
    """A sequence with a length and yet a delimiter, then the patient: names and bytes are unchanged."""
    patient_id = b"\x10\0\x20\0LO\2\0P1"
    sequence = b"\x08\0\x40\x11SQ\0\0\0\0\0\0"
    data = identification(CT, "1.2.3", None).partition(b"\x10\0")[0] + sequence + end + bytes(4) + patient_id
    receiver = ours("-pm", "--layout", "{PatientID}/{SOPInstanceUID}.dcm")
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        assert association.store(CT, "1.2.3", data) == 0
        assert association.store(CT, "1.2.4", data + patient_id[:4]) == 0xC000
        association.release()
    assert receiver.files() == ["P1/1.2.3.dcm"]
    assert stored_file(receiver.only_file()).data == data
    assert "Stray delimiter" in receiver.log
