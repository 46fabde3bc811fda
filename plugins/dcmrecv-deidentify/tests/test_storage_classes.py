"""Every storage SOP class of PS3.4 annex B, in one instance with the attributes of all its modules: nothing that
identifies comes out; pydicom and DCMTK read the result, its pixels are the same, and dciodvfy finds no more errors than
before. Classes that are refused are listed with their reason.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_instances import Made, storage_classes
from pydicom import dcmread
from pydicom.dataset import Dataset
from treated import Site

from dcmrecv_core.testing import fake_instance

REFUSED = {
    "BasicVoiceAudioWaveformStorage": "audio",
    "EncapsulatedCDAStorage": "encapsulated",
    "EncapsulatedMTLStorage": "encapsulated",
    "EncapsulatedOBJStorage": "encapsulated",
    "EncapsulatedPDFStorage": "encapsulated",
    "EncapsulatedSTLStorage": "encapsulated",
    "GeneralAudioWaveformStorage": "audio",
    "RawDataStorage": "raw-data",
}
"""By default, and why."""
UNKNOWN = {
    "HeightMapSegmentationStorage",
    "LabelMapSegmentationStorage",
    "WaveformAcquisitionPresentationStateStorage",
    "WaveformPresentationStateStorage",
}
"""Classes that pynetdicom knows and some versions of pydicom do not: refused with private ones then."""
CLASSES = storage_classes()
ACCEPTABLE = sorted(CLASSES.keys() - {name for name, reason in REFUSED.items() if reason == "encapsulated"})
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def program(name: str) -> str:
    path = shutil.which(name)
    assert path is not None, f"{name} is not installed"
    return path


def test_what_is_refused_by_default(site: Callable[..., Site]) -> None:
    treated = site()
    refused = {}
    for name, uid in CLASSES.items():
        refusal = treated.judge(SOPClassUID=uid)
        if refusal is not None:
            refused[name] = refusal.comment.removeprefix("not de-identified: ")
    assert {name: why for name, why in refused.items() if name not in UNKNOWN} == REFUSED


@pytest.mark.parametrize("name", ACCEPTABLE)
def test_nothing_that_identifies_comes_out(site: Callable[..., Site], name: str, tmp_path: Path) -> None:
    made = Made(CLASSES[name])
    instance = fake_instance(made.dataset, in_receive=True)
    before, after = tmp_path / "before.dcm", tmp_path / "after.dcm"
    with instance.open() as stream:
        before.write_bytes(stream.read())
    # an unknown class is accepted only together with private ones
    refusal = site(deidentify_accept=["audio", "raw-data", "private-class"]).plugin.receive(instance)
    assert refusal is None
    with instance.open() as stream:
        data = stream.read()
    assert len(made.identifying) > 100
    assert {value for value in made.identifying if value in before.read_bytes()} == made.identifying
    assert {value for value in made.identifying if value in data} == set()
    after.write_bytes(data)
    check_readable(before, after, made.pixels)
    assert len(errors_of(after)) <= len(errors_of(before))


def check_readable(before: Path, after: Path, pixels: bytes) -> None:
    dataset = dcmread(after)
    for element in dataset.iterall():
        assert element.value is not None or element.VR != "SQ"
    assert dataset.PatientIdentityRemoved == "YES"
    assert b"".join(dataset[keyword].value for keyword in PIXELS if keyword in dataset) == pixels
    if pixels:
        assert (decoded(dataset) == decoded(dcmread(before))).all()
    subprocess.run([program("dcmdump"), "-q", after], check=True, timeout=60, stdout=subprocess.DEVNULL)


def decoded(dataset: Dataset) -> Any:
    return dataset.pixel_array


def errors_of(path: Path) -> list[str]:
    done = subprocess.run([program("dciodvfy"), path], capture_output=True, text=True, errors="replace", timeout=60)
    lines = (done.stdout + done.stderr).splitlines()
    assert lines, "dciodvfy says nothing"
    return [line for line in lines if line.startswith("Error")]
