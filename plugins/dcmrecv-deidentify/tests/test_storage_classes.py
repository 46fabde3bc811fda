"""Every storage SOP class of PS3.4 annex B, in one instance with the attributes of all its modules: nothing that
identifies comes out; pydicom and DCMTK read the result, its pixels are the same, and dciodvfy finds nothing new.
Classes that are refused are listed with their reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from made_instances import Made, storage_classes
from pydicom import dcmread
from treated import Site
from viewers import check_readable, check_types, pixel_bytes

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
"""Classes that pynetdicom knows and some versions of pydicom do not: refused as unknown ones then."""
CLASSES = storage_classes()
ACCEPTED = {"deidentify_accept": ["audio", "raw-data", "unknown-class"]}
ACCEPTABLE = sorted(CLASSES.keys() - {name for name, reason in REFUSED.items() if reason == "encapsulated"})


def left_in(data: bytes, made: Made) -> set[bytes]:
    """What identifies and is still there; the many digits of new UIDs may read like a date by chance."""
    without_new_uids = re.sub(rb"2\.25\.\d+", b"", data)
    return {value for value in made.identifying if value in without_new_uids}


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
    assert site(**ACCEPTED).plugin.receive(instance) is None
    with instance.open() as stream:
        data = stream.read()
    assert len(made.identifying) > 100
    assert {value for value in made.identifying if value in before.read_bytes()} == made.identifying
    assert left_in(data, made) == set()
    after.write_bytes(data)
    check_readable(before, after)
    check_types(before, after)
    assert pixel_bytes(dcmread(after)) == made.pixels


@pytest.mark.parametrize("name", ACCEPTABLE)
def test_nothing_comes_out_where_texts_are_cleaned(site: Callable[..., Site], name: str) -> None:
    made = Made(CLASSES[name])
    instance = fake_instance(made.dataset, in_receive=True)
    options = ("clean-descriptors", "clean-structured-content", "retain-safe-private")
    assert site(*options, **ACCEPTED).plugin.receive(instance) is None
    with instance.open() as stream:
        data = stream.read()
    assert left_in(data, made) == set()
