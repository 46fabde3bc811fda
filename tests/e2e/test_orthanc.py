"""Orthanc sends studies, as archives and routers do: many instances in one association, in many transfer syntaxes."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread, dcmwrite

from support.data.samples import PYDICOM_DATA
from support.programs.orthanc import orthanc_server
from support.programs.receivers import Receiver, Start

pytestmark = pytest.mark.orthanc

ARCHIVED = "test_files/dicomdirtests/98892003"
OF_ALL_KINDS = (
    "CT_small.dcm",
    "JPEG2000.dcm",
    "JPGExtended.dcm",
    "MR_small_RLE.dcm",
    "MR_small_implicit.dcm",
    "rtplan.dcm",
    "SC_rgb_small_odd.dcm",
    "waveform_ecg.dcm",
)
"""Files of many classes in six transfer syntaxes, combined into one study."""


def archived() -> list[bytes]:
    """The files of a patient with several studies, as a scanner made them."""
    return [path.read_bytes() for path in sorted((PYDICOM_DATA / ARCHIVED).rglob("*")) if path.is_file()]


def of_all_kinds() -> list[bytes]:
    files = []
    for number, name in enumerate(OF_ALL_KINDS):
        dataset = dcmread(PYDICOM_DATA / "test_files" / name)
        dataset.StudyInstanceUID = "2.25.1"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"2.25.2.{number}"
        content = BytesIO()
        dcmwrite(content, dataset)
        files.append(content.getvalue())
    return files


def read_all(files: list[bytes]) -> dict[str, Dataset]:
    """The data sets by SOP Instance UID, without trailing padding, which Orthanc does not send."""
    datasets = {}
    for file in files:
        dataset = dcmread(BytesIO(file))
        dataset.pop("DataSetTrailingPadding", None)
        datasets[str(dataset.SOPInstanceUID)] = dataset
    return datasets


def stored(receiver: Receiver) -> list[bytes]:
    return [Path(receiver.output, name).read_bytes() for name in receiver.files()]


def test_studies(ours: Start) -> None:
    receiver = ours("-v", "-xf", "/etc/dcmtk/storescp.cfg", "AllDICOM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's files have invalid values
        files = archived() + of_all_kinds()
        sent = read_all(files)
        with orthanc_server({"ours": receiver.port}) as orthanc:
            for study in {orthanc.upload(file) for file in files}:
                answer = orthanc.send(study, "ours")
                assert answer["FailedInstancesCount"] == 0, receiver.log
        assert len(receiver.files()) == len(files) == len(sent)
        found = read_all(stored(receiver))
        assert found.keys() == sent.keys()
        for uid, dataset in sent.items():
            assert found[uid] == dataset
            assert found[uid].file_meta.TransferSyntaxUID == dataset.file_meta.TransferSyntaxUID
    assert " ORTHANC -> OURS" in receiver.log
