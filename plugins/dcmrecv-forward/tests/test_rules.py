"""`when`: which instances a destination gets."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from dcmrecv_core import StoredEvent, Undeliverable
from dcmrecv_core.testing import fake_association, fake_event, sample_dataset
from dcmrecv_forward.rules import Rule

CT = "1.2.840.10008.5.1.4.1.1.2"


def event(directory: Path, syntax: str = "1.2.840.10008.1.2.1", **elements: Any) -> StoredEvent:
    association = fake_association(calling_ae_title="CT1", called_ae_title="ROUTER")
    dataset = sample_dataset(transfer_syntax_uid=syntax, **elements)
    return fake_event(dataset, association=association, output_directory=directory)


@pytest.mark.parametrize(
    ("when", "met"),
    [
        ({}, True),
        ({"calling": "CT1"}, True),
        ({"calling": "CT2"}, False),
        ({"calling": ("MR1", "CT*")}, True),
        ({"calling": "ct1"}, False),
        ({"called": "ROUTER", "calling": "CT?"}, True),
        ({"called": "OTHER", "calling": "CT?"}, False),
        ({"modality": "CT"}, True),
        ({"Modality": ("MR", "CT")}, True),
        ({"modality": "MR"}, False),
        ({"sop_class": "CTImageStorage"}, True),
        ({"sop_class": CT}, True),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.[2-4]"}, True),
        ({"SOPClassUID": "MRImageStorage"}, False),
        ({"TransferSyntaxUID": "LittleEndianExplicit"}, True),
        ({"PatientID": "47*"}, True),
        ({"StudyInstanceUID": "1.2.826.0.1.3680043.8.498.1"}, True),
        ({"StudyDescription": "Th*"}, True),
        ({"StudyDescription": "Thorax", "SeriesDescription": "Coronal"}, False),
        ({"InstanceNumber": "1"}, True),
        ({"Rows": "4"}, True),
        ({"Rows": ("5", "6")}, False),
        ({"SliceThickness": ""}, True),
        ({"SliceThickness": "?*"}, False),
        ({"00081030": "Thorax"}, True),
        ({"00091001": "secret"}, False),
    ],
    ids=str,
)
def test_met(tmp_path: Path, when: dict[str, str | tuple[str, ...]], met: bool) -> None:
    assert Rule(when).is_met(event(tmp_path)) is met


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, "1.2.840.10008.1.2.1.99"])
def test_in_any_encoding(tmp_path: Path, syntax: str) -> None:
    dataset = sample_dataset(
        transfer_syntax_uid=syntax, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"], SpecificCharacterSet="ISO_IR 100"
    )
    dataset.StudyDescription = "Schädel"
    dataset.add_new(0x00186028, "FD", [1.5, -2.0])
    stored = fake_event(dataset, output_directory=tmp_path)
    assert Rule({"StudyDescription": "Schädel"}).is_met(stored)
    assert Rule({"ImageType": "PRIMARY"}).is_met(stored)
    assert Rule({"ImageType": "ORIGINAL*AXIAL"}).is_met(stored)
    assert not Rule({"ImageType": "AXI"}).is_met(stored)
    assert Rule({"Rows": "4", "SeriesNumber": "1"}).is_met(stored)
    assert Rule({"00186028": "-2"}).is_met(stored)


def test_private_elements(tmp_path: Path) -> None:
    dataset = sample_dataset(transfer_syntax_uid=ImplicitVRLittleEndian)
    dataset.private_block(0x0009, "ACME", create=True).add_new(0x01, "LO", "research ")
    stored = fake_event(dataset, output_directory=tmp_path)
    assert Rule({"00091001": "research"}).is_met(stored)
    assert not Rule({"00091001": "clinical"}).is_met(stored)


def test_what_is_stored_elsewhere(tmp_path: Path) -> None:
    """A file without a descriptor is copied before it is looked into."""
    assert Rule({"StudyDescription": "Thorax"}).is_met(fake_event())
    with fake_event().open() as file, pytest.raises(io.UnsupportedOperation):
        file.fileno()


@pytest.mark.parametrize(
    ("when", "text"),
    [
        ({"modalty": "CT"}, "when.modalty: .* expected; .*you mean modality"),
        ({"StudyDescripton": "CT"}, "you mean StudyDescription"),
        ({"Calling": "CT"}, "you mean calling"),
        ({"xyz": "CT"}, r"when.xyz: calling, called, modality, sop_class, a DICOM keyword or a tag \(00181030\) exp"),
        ({"MediaStorageSOPClassUID": "CT"}, "a DICOM keyword"),
        ({"ReferencedStudySequence": "CT"}, r"has no text that could be compared \(VR SQ\)"),
        ({"PixelData": "CT"}, r"VR OB or OW"),
        ({"sop_class": "CTImageStorge"}, r"there is no UID called 'CTImageStorge'; did you mean CTImageStorage"),
        ({"TransferSyntaxUID": ("1.2.3", "xyz")}, "TransferSyntaxUID: there is no UID called 'xyz'$"),
        ({"modality": "CT", "Modality": "MR"}, "when.Modality: there is a condition for it already, by another name"),
        ({"modality": ()}, "when.modality: an empty array would never be met"),
    ],
)
def test_rules_that_mean_nothing(when: dict[str, str | tuple[str, ...]], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Rule(when)


def recovered(**fields: Any) -> StoredEvent:
    unknown = dict.fromkeys(("calling_ae_title", "called_ae_title", "peer_address", "association_id", "received_at"))
    return fake_event(recovered=True, **{**unknown, **fields})


def test_a_title_that_a_power_cut_took(tmp_path: Path) -> None:
    assert Rule({"modality": "CT"}).is_met(recovered())
    assert not Rule({"calling": "CT1", "modality": "MR"}).is_met(recovered())
    assert not Rule({"calling": "CT1", "StudyDescription": "Head"}).is_met(recovered())
    with pytest.raises(Undeliverable, match=r"a power cut took the calling AE title, .* by hand"):
        Rule({"calling": "CT1", "modality": "CT", "StudyDescription": "Thorax"}).is_met(recovered())
    with pytest.raises(Undeliverable, match="a power cut took the called AE title"):
        Rule({"called": "*"}).is_met(recovered())


def test_a_sequence_in_place_of_text(tmp_path: Path) -> None:
    dataset = sample_dataset()
    dataset.add_new(0x00091001, "SQ", Sequence([sample_dataset()]))
    stored = fake_event(dataset, output_directory=tmp_path)
    assert not Rule({"00091001": "CT"}).is_met(stored)
