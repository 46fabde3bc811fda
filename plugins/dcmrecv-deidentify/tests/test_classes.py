"""Instances that are refused for what they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydicom._uid_dict import UID_dictionary
from pydicom.uid import (
    BasicTextSRStorage,
    BasicVoiceAudioWaveformStorage,
    CTImageStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    MediaStorageDirectoryStorage,
    RawDataStorage,
    RTDoseStorage,
    SecondaryCaptureImageStorage,
    TwelveLeadECGWaveformStorage,
    UltrasoundImageStorage,
    VLPhotographicImageStorage,
)
from treated import Site

from dcmrecv_deidentify.classes import BY_DEFAULT, KINDS, NEVER, kinds_of

SITES = Callable[..., Site]
EXAMPLES = {
    "audio": BasicVoiceAudioWaveformStorage,
    "directory": MediaStorageDirectoryStorage,
    "encapsulated": EncapsulatedPDFStorage,
    "presentation-state": GrayscaleSoftcopyPresentationStateStorage,
    "unknown-class": "1.2.3.4",
    "radiotherapy": RTDoseStorage,
    "raw-data": RawDataStorage,
    "secondary-capture": SecondaryCaptureImageStorage,
    "structured-report": BasicTextSRStorage,
    "ultrasound": UltrasoundImageStorage,
    "visible-light": VLPhotographicImageStorage,
    "waveform": TwelveLeadECGWaveformStorage,
}


def test_every_kind_has_an_example() -> None:
    assert {*EXAMPLES, "burned-in-annotation"} == set(KINDS)
    assert kinds_of(CTImageStorage) == ()


@pytest.mark.parametrize(("kind", "uid"), EXAMPLES.items(), ids=EXAMPLES)
def test_refused_or_accepted(site: SITES, kind: str, uid: str) -> None:
    refusal = site(deidentify_refuse=[kind]).judge(SOPClassUID=uid)
    assert refusal is not None
    assert (refusal.status, refusal.comment) == (0x0122, f"not de-identified: {kind}")
    assert (site().judge(SOPClassUID=uid) is not None) == (kind in BY_DEFAULT)
    if kind not in NEVER:
        assert site(deidentify_accept=[kind]).judge(SOPClassUID=uid) is None


def test_the_class_of_the_data_set_counts_too(site: SITES) -> None:
    from dcmrecv_core.testing import fake_instance, sample_dataset

    instance = fake_instance(sample_dataset(SOPClassUID=EncapsulatedPDFStorage), in_receive=True)
    instance.sop_class_uid = CTImageStorage
    assert site().plugin.receive(instance) is not None


def test_storage_classes_of_patients_have_kinds_or_are_images() -> None:
    """So that a new class of another kind is looked at when pydicom learns of it."""
    others = {
        entry[4]
        for uid, entry in UID_dictionary.items()
        if entry[1] == "SOP Class" and entry[4].endswith("Storage") and not entry[3] and not kinds_of(uid)
    }
    assert {name for name in others if "Image" not in name and "DICOS" not in name} == NOT_IMAGES


NOT_IMAGES = {
    "CornealTopographyMapStorage",
    "OphthalmicOpticalCoherenceTomographyBscanVolumeAnalysisStorage",
    "OphthalmicThicknessMapStorage",
    "BasicStructuredDisplayStorage",
    "ColorPaletteStorage",
    "ContentAssessmentResultsStorage",
    "DeformableSpatialRegistrationStorage",
    "GenericImplantTemplateStorage",
    "HangingProtocolStorage",
    "ImplantAssemblyTemplateStorage",
    "ImplantTemplateGroupStorage",
    "InventoryStorage",
    "KeratometryMeasurementsStorage",
    "LensometryMeasurementsStorage",
    "AutorefractionMeasurementsStorage",
    "SubjectiveRefractionMeasurementsStorage",
    "VisualAcuityMeasurementsStorage",
    "IntraocularLensCalculationsStorage",
    "OphthalmicAxialMeasurementsStorage",
    "OphthalmicVisualFieldStaticPerimetryMeasurementsStorage",
    "CTDefinedProcedureProtocolStorage",
    "CTPerformedProcedureProtocolStorage",
    "MRSpectroscopyStorage",
    "MicroscopyBulkSimpleAnnotationsStorage",
    "ParametricMapStorage",
    "ProtocolApprovalStorage",
    "RealWorldValueMappingStorage",
    "SegmentationStorage",
    "SpatialFiducialsStorage",
    "SpatialRegistrationStorage",
    "StereometricRelationshipStorage",
    "SurfaceScanMeshStorage",
    "SurfaceScanPointCloudStorage",
    "SurfaceSegmentationStorage",
    "TractographyResultsStorage",
    "XADefinedProcedureProtocolStorage",
    "XAPerformedProcedureProtocolStorage",
}


@pytest.mark.parametrize("value", ["YES", "YES "])
def test_burned_in_annotation(site: SITES, value: str) -> None:
    refusal = site().judge(BurnedInAnnotation=value)
    assert refusal is not None
    assert refusal.status == 0x0124
    assert site().judge(BurnedInAnnotation="NO") is None
    assert site(deidentify_accept=["burned-in-annotation"]).judge(BurnedInAnnotation=value) is None


def test_both_refused_and_accepted(site: SITES) -> None:
    with pytest.raises(ValueError, match="either refused or accepted"):
        site(deidentify_refuse=["raw-data"], deidentify_accept=["raw-data"])
