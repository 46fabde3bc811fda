"""Structured reports, and cleaned texts."""

from __future__ import annotations

import csv
from collections.abc import Callable
from importlib.resources import files

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage
from treated import Site, element

from dcmrecv_deidentify.encoded.elements import FORMATS
from dcmrecv_deidentify.profile.table import content_items
from dcmrecv_deidentify.words import cleaned, words_of

SITES = Callable[..., Site]
EXPLICIT = FORMATS[True, True]
CONTENT = 0x0040A730


def code(tag: int, value: str, scheme: str, meaning: str) -> bytes:
    item = [element(0x00080100, "SH", value), element(0x00080102, "SH", scheme), element(0x00080104, "LO", meaning)]
    return element(tag, "SQ", [item])


def item(kind: str, concept: tuple[str, str], *values: bytes) -> list[bytes]:
    """A content item."""
    named = [element(0x0040A040, "CS", kind), code(0x0040A043, concept[1], concept[0], "meaning")]
    return sorted([*named, *values], key=lambda each: (each[:2][::-1], each[2:4][::-1]))


TEXT = element(0x0040A160, "UT", "Secret finding in the lung")
NAME = element(0x0040A123, "PN", "Secret^Name")
DATE = element(0x0040A121, "DA", "20240301")
UID = element(0x0040A124, "UI", "1.2.3.4711")
NUMBER = element(0x0040A300, "SQ", [[element(0x0040A30A, "DS", "12.5")]])
ITEMS = [
    item("TEXT", ("DCM", "121071"), TEXT),
    item("PNAME", ("DCM", "121008"), NAME),
    item("UIDREF", ("DCM", "121233"), UID),
    item("NUM", ("SCT", "410668003"), NUMBER),
    item("CODE", ("SCT", "272741003"), code(0x0040A168, "39607008", "SCT", "Lung")),
    item("TEXT", ("99SITE", "1"), TEXT),
    item("PNAME", ("99SITE", "2"), NAME),
    item("DATE", ("99SITE", "3"), DATE),
    item("CONTAINER", ("DCM", "121070"), element(CONTENT, "SQ", [item("TEXT", ("99SITE", "4"), TEXT)])),
]


def stored(site: SITES, *options: str) -> Dataset:
    result = site(*options).store_with(element(CONTENT, "SQ", ITEMS))
    assert b"Secret" not in result.data
    assert b"1.2.3.4711" not in result.data
    return result.dataset


def test_sequences_that_only_reports_need(site: SITES) -> None:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", "1.2.3.4711"
    given = {"ReferencedStudySequence": [item], "ReferencedPerformedProcedureStepSequence": [item]}
    image, report = site().store(**given), site().store(**given, SOPClassUID=BasicTextSRStorage)
    for keyword in given:
        assert keyword not in image.dataset
        assert len(report.dataset[keyword].value) == 0


def test_the_profile_leaves_a_comment(site: SITES) -> None:
    [only] = stored(site).ContentSequence
    assert (only.ValueType, only.TextValue) == ("TEXT", "REMOVED")
    assert only.ConceptNameCodeSequence[0].CodeValue == "121106"


def test_clean_structured_content(site: SITES) -> None:
    found = {
        (each.ConceptNameCodeSequence[0].CodingSchemeDesignator, each.ConceptNameCodeSequence[0].CodeValue): each
        for each in stored(site, "clean-structured-content").ContentSequence
    }
    assert found["SCT", "410668003"].MeasuredValueSequence[0].NumericValue == 12.5
    assert found["SCT", "272741003"].ConceptCodeSequence[0].CodeMeaning == "Lung"
    assert found["99SITE", "1"].TextValue == "REMOVED"
    assert found["99SITE", "3"].Date == "19000101"
    assert found["99SITE", "2"].PersonName == "REMOVED"
    [inner] = found["DCM", "121070"].ContentSequence
    assert inner.TextValue == "REMOVED"


def test_with_cleaned_texts(site: SITES) -> None:
    found = stored(site, "clean-structured-content", "clean-descriptors").ContentSequence
    texts = [each.TextValue for each in found if "TextValue" in each]
    assert "finding the lung" in texts


def test_each_item_of_the_table(site: SITES) -> None:
    """Table E.3.4-1: X goes, D says nothing."""
    with files("dcmrecv_deidentify.profile").joinpath("data", "content_items.tsv").open(encoding="ascii") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert len(rows) > 200
    items = [item("TEXT", (row["scheme"], row["code"]), TEXT) for row in rows]
    dataset = site("clean-structured-content").store_with(element(CONTENT, "SQ", items)).dataset
    left = [
        (each.ConceptNameCodeSequence[0].CodingSchemeDesignator, each.ConceptNameCodeSequence[0].CodeValue)
        for each in dataset.ContentSequence
    ]
    expected = {key for key, columns in content_items().items() if columns.profile != "X"}
    assert set(left) == expected
    assert {each.get("TextValue") for each in dataset.ContentSequence} == {"REMOVED"}


def test_options_of_content_items(site: SITES) -> None:
    rows = {key for key, columns in content_items().items() if columns.options.get("retain-device-identity") == "K"}
    items = [item("TEXT", key, element(0x0040A160, "UT", "Kept")) for key in sorted(rows)]
    options = ("clean-structured-content", "retain-device-identity")
    dataset = site(*options).store_with(element(CONTENT, "SQ", items)).dataset
    assert [each.TextValue for each in dataset.ContentSequence] == ["Kept"] * len(rows)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"CT chest with contrast, Dr. Smith", b"CT chest with contrast"),
        (b"T1 SAG post", b"T1 SAG post"),
        (b"MILLER abdomen", b"abdomen"),
        (b"lung 2.5 mm", b"lung 2.5 mm"),
        (b"born 1970-01-02", b""),
        (b"xyzzy 12 34 56", b""),
        (b"lung, born 12.03.1978", b"lung"),
        (b"lung 12/03/78, 01 71", b"lung"),
        (b"lung 12.3.78: 2 mm", b"lung mm"),
        (b"head 12 chest 3 mm", b"head 12 chest 3 mm"),
        (b"lung \x1b$B8l", b""),
        (b"M\xfcller lung", b"lung"),
    ],
)
def test_cleaned(text: bytes, expected: bytes) -> None:
    assert cleaned(text, set()) == expected


def test_words_of_the_patient_go(site: SITES) -> None:
    dataset = site("clean-descriptors").store(
        PatientName="Chest^Jane", PatientID="LUNG-7", StudyDescription="chest lung abdomen"
    )
    assert dataset.dataset.StudyDescription == "abdomen"
    assert words_of(b"O'Neil^Jane=") == {"NEIL", "JANE"}


def test_a_text_of_which_nothing_stays(site: SITES) -> None:
    assert site("clean-descriptors").store(StudyDescription="Xyzzy").dataset.StudyDescription == "REMOVED"
