"""Pseudonyms, UIDs and dates: what belonged together still does."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date

import pytest
from treated import Site, element

from dcmrecv_deidentify.pseudonyms.made import MOST_DAYS, Pseudonyms, shifted

SITES = Callable[..., Site]
MODIFIED = "retain-modified-dates"


def test_one_patient_in_two_studies(site: SITES) -> None:
    one = site().store(PatientID="4711", PatientName="Doe^Jane", StudyInstanceUID="1.2.1").dataset
    two = site().store(PatientID="4711 ", PatientName="DOE^J", StudyInstanceUID="1.2.2").dataset
    assert one.PatientID == two.PatientID == str(one.PatientName) == str(two.PatientName)
    assert re.fullmatch("[A-Z2-7]{16}", one.PatientID)
    assert one.StudyInstanceUID != two.StudyInstanceUID


def test_two_patients(site: SITES) -> None:
    assert site().store(PatientID="4711").dataset.PatientID != site().store(PatientID="4712").dataset.PatientID


def test_a_patient_without_id(site: SITES) -> None:
    one = site().store(PatientID="", PatientName="Doe^Jane").dataset
    two = site().store(PatientID="", PatientName="Doe^John").dataset
    assert one.PatientID == two.PatientID == ""
    assert one.PatientName != two.PatientName


def test_references_lead_to_what_was_renamed(site: SITES) -> None:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    item.ReferencedSOPInstanceUID = "1.2.3.4"
    one = site().store(SOPInstanceUID="1.2.3.4").dataset
    two = site().store(ReferencedImageSequence=[item]).dataset
    assert two.ReferencedImageSequence[0].ReferencedSOPInstanceUID == one.SOPInstanceUID
    assert two.ReferencedImageSequence[0].ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"


def test_uids_are_valid() -> None:
    pseudonyms = Pseudonyms(bytes(32))
    for number in range(500):
        uid = pseudonyms.uid(b"1.2.%d" % number).decode()
        assert re.fullmatch(r"2\.25\.[1-9][0-9]{0,38}", uid)
        value = int(uid[5:])
        assert value < 1 << 128
        assert (value >> 76 & 0xF, value >> 62 & 0b11) == (8, 0b10)


def test_days() -> None:
    pseudonyms = Pseudonyms(bytes(32))
    days = {pseudonyms.days(b"%d" % number) for number in range(500)}
    assert len(days) > 400
    assert min(days) >= 1
    assert max(days) <= MOST_DAYS


def test_dates_of_a_patient_move_together(site: SITES) -> None:
    one = site(MODIFIED).store(PatientID="1", StudyDate="20240229", ContentDate="20240301", StudyTime="101112").dataset
    two = site(MODIFIED).store(PatientID="1", StudyDate="20240310").dataset
    other = site(MODIFIED).store(PatientID="2", StudyDate="20240310").dataset
    day = date(int(one.StudyDate[:4]), int(one.StudyDate[4:6]), int(one.StudyDate[6:]))
    assert (date(2024, 2, 29) - day).days in range(1, MOST_DAYS + 1)
    assert two.StudyDate != other.StudyDate
    assert one.StudyTime == "101112"

    def number(text: str) -> int:
        return date(int(text[:4]), int(text[4:6]), int(text[6:])).toordinal()

    assert number(one.ContentDate) - number(one.StudyDate) == 1
    assert number(two.StudyDate) - number(one.StudyDate) == 10


@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [
        ("DA", "20240301", "20240229"),
        ("DA", "2024.03.01", "20240229"),
        ("DA", "20240301 ", "20240229"),
        ("DT", "20240301101112.5+0100", "20240229101112.5+0100"),
        ("DT", "20240301", "20240229"),
        ("TM", "101112", "101112"),
        ("DA", "20240230", None),
        ("DA", "00010101", None),
        ("DA", "Smith", None),
        ("DA", "202403", None),
        ("DT", "2024", None),
        ("DT", "20240301Smith", None),
    ],
)
def test_shifted(vr: str, value: str, expected: str | None) -> None:
    assert shifted(vr, value, 1) == expected


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [(0x00080020, "DA", b"Smith "), (0x00080030, "TM", b"Smith "), (0x00080020, "DA", b"2024")],
)
def test_what_is_no_date_goes(site: SITES, tag: int, vr: str, value: bytes) -> None:
    assert site(MODIFIED).store_with(element(tag, vr, value)).dataset[tag].value in ("19000101", "000000")
