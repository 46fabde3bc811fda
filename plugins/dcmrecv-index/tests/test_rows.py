"""From an instance to rows: character sets, missing and broken values."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from typing import Any

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from dcmrecv_builtin.layout.fields import field_value
from dcmrecv_core.testing import fake_event, fake_instance, sample_dataset
from dcmrecv_index.record import Record, record_of_event
from dcmrecv_index.rows import Rows, rows_of


def rows(**elements: Any) -> Rows:
    event = fake_event(sample_dataset(**elements), location="/archive/x", received_at=datetime.fromtimestamp(5, UTC))
    return rows_of(record_of_event(event))


def test_all_levels() -> None:
    patient, study, series, instance = rows()
    assert patient["patient_id"] == study["patient_id"] == "4711"
    assert (patient["patient_name"], patient["birth_date"]) == ("Doe^Jane", "19700102")
    assert (study["study_date"], study["accession_number"]) == ("20200102", "A0001")
    assert series["study_instance_uid"] == study["study_instance_uid"] == "1.2.826.0.1.3680043.8.498.1"
    assert (series["modality"], series["series_number"]) == ("CT", 1)
    assert instance["series_instance_uid"] == series["series_instance_uid"] == "1.2.826.0.1.3680043.8.498.1.1"
    assert instance["sop_instance_uid"] == "1.2.826.0.1.3680043.8.498.1.1.1"
    assert instance["transfer_syntax_uid"] == "1.2.840.10008.1.2.1"
    assert (instance["location"], instance["received"]) == ("/archive/x", 5_000_000_000)
    assert instance["size"] > 400


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 192", "M\u00fcller^Zo\u00eb"),
        ("ISO_IR 100", "M\u00fcller^Zo\u00eb"),
        ("ISO_IR 144", "\u041b\u044e\u043ace\u043c\u0431ypg"),
        ("GB18030", "\u738b^\u5c0f\u4e1c"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce"),
    ],
)
def test_character_sets(character_set: str | list[str], name: str) -> None:
    assert rows(SpecificCharacterSet=character_set, PatientName=name).patient["patient_name"] == name


def test_fault_10_bytes_without_a_character_keep_patients_apart() -> None:
    sent = (b"M\xfcller", b"M\xf6ller", "M\u00fcller".encode())
    found = {rows(SpecificCharacterSet="ISO_IR 192", PatientID=value).patient["patient_id"] for value in sent}
    assert len(found) == len(sent)
    "".join(found).encode()


def keys(**elements: str) -> tuple[str, ...]:
    """Patient ID, issuer, study and series of a record with these values, whose characters are bytes."""
    patient, study, series, _ = rows_of(Record("1.2.3", "1", "1", "/x", 0, 1, elements))
    row = (patient["patient_id"], patient["issuer"], study["study_instance_uid"], series["series_instance_uid"])
    assert max(map(len, row)) < 600, "PostgreSQL indexes 2704 bytes"
    return row


PATIENTS: tuple[dict[str, str], ...] = (
    {"PatientID": "Klas\u00c3"},
    {"PatientID": "Klas\u00c3\u0085"},
    {"PatientID": "Klas\u00c3\u00a0"},
    *({"PatientID": f"Klas\u00c3{character}"} for character in "\t\n\v\f\r\x1c\x1d\x1e\x1f"),
    {"PatientID": "\tKlas\u00c3"},
    {"PatientID": "A B"},
    {"PatientID": "A\0B"},
    {"PatientID": "A" * 255},
    {"PatientID": "A" * 256},
    {"PatientID": "A" * 256 + "1"},
    {"PatientID": "A" * 256 + "2"},
    {"PatientID": "B/C", "IssuerOfPatientID": "A"},
    {"PatientID": "C", "IssuerOfPatientID": "A/B"},
    {"PatientID": "C", "IssuerOfPatientID": "A~1B"},
    {"PatientID": "C", "IssuerOfPatientID": "A~B"},
    {"PatientID": "C", "IssuerOfPatientID": "A~0B"},
)


@pytest.mark.parametrize("column", ["patient", "study", "series"])
def test_patients_stay_apart(column: str) -> None:
    """By patient ID and issuer, and by the keys of studies and series without UID."""
    part = {"patient": slice(0, 2), "study": slice(2, 3), "series": slice(3, 4)}[column]
    assert len({keys(**patient)[part] for patient in PATIENTS}) == len(PATIENTS)


def test_a_cut_key_is_no_other_patient_s() -> None:
    cut = keys(PatientID="A" * 300)[0]
    assert cut.startswith("AAAA")
    assert keys(PatientID=cut)[0] != cut


def test_a_sent_uid_is_never_the_key_of_one_that_is_missing() -> None:
    _, _, study, series = keys(PatientID="B", IssuerOfPatientID="A")
    for sent in (study, f"~{study}"):
        assert keys(PatientID="B", StudyInstanceUID=sent)[2] not in (study, sent[1:])
    assert keys(StudyInstanceUID="1.2", SeriesInstanceUID=series)[3] != series
    assert keys(StudyInstanceUID="1.2", SeriesInstanceUID="1.2.1")[2:] == ("1.2", "1.2.1")


@pytest.mark.parametrize("padded", ["P1 ", "P1\0", " P1", "P1" + " " * 2000])
def test_padding_does_not_count(padded: str) -> None:
    dataset = sample_dataset()
    dataset[0x00100020] = RawDataElement(BaseTag(0x00100020), "LO", len(padded), padded.encode(), 0, False, True)
    assert rows_of(record_of_event(fake_event(dataset))).patient["patient_id"] == "P1"


def test_very_long_values_stay_apart() -> None:
    """Longer than what a record keeps of a value."""
    with warnings.catch_warnings(action="ignore"):  # of their length
        found = [rows(PatientID="A" * 5000 + last).patient["patient_id"] for last in ("1", "2", "1 ")]
    assert found[0] == found[2] != found[1]


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("Miller^Richard^^^==", "Miller^Richard"),
        ("A^B^ ^", "A^B"),
        ("A^B^ ^= =", "A^B"),
        ("A^B^=C^ ^=", "A^B=C"),
        ("A^ ^C", "A^ ^C"),
        ("=C", "=C"),
    ],
)
def test_a_name_is_the_layout_s(sent: str, name: str) -> None:
    dataset = sample_dataset(PatientName=sent, ReferringPhysicianName=sent)
    instance = fake_instance(dataset)
    found = rows_of(record_of_event(fake_event(dataset)))
    assert found.patient["patient_name"] == found.study["referring_physician"] == name
    assert field_value("PatientName").get(instance) == name


def test_nothing_but_what_the_command_says() -> None:
    record = Record("1.2.3", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2", "/x", 0, 1, {})
    patient, study, series, instance = rows_of(record)
    assert patient["patient_id"] == ""
    assert study["study_instance_uid"] == "?/"
    assert series["series_instance_uid"] == "??/"
    assert instance["sop_instance_uid"] == "1.2.3"


def test_missing_uids_do_not_mix_patients() -> None:
    keys = {
        rows(PatientID=patient_id, StudyInstanceUID=None, SeriesInstanceUID=None).series["series_instance_uid"]
        for patient_id in ("A", "B")
    }
    assert keys == {"??/A", "??/B"}


@pytest.mark.parametrize(
    ("elements", "text"),
    [
        ({"PatientID": "A\0B"}, "A\uef00B"),
        ({"PatientID": "  A  "}, "A"),
        ({"PatientID": "\udcff"}, "?"),
        ({"PatientID": "A", "SpecificCharacterSet": "NO SUCH SET"}, "A"),
    ],
)
def test_what_a_database_cannot_hold(elements: dict[str, str], text: str) -> None:
    raw = {keyword: value.encode("latin-1", "replace").decode("latin-1") for keyword, value in elements.items()}
    record = Record("1.2.3", "1", "1", "/x\udcff", 0, 1, raw)
    patient, _, _, instance = rows_of(record)
    assert patient["patient_id"] == text
    assert instance["location"] == "/x\\xff"


@pytest.mark.parametrize(
    ("text", "number"), [("7", 7), (" +7 ", 7), ("7\\8", 7), ("seven", None), ("", None), ("99999999999", None)]
)
def test_numbers(text: str, number: int | None) -> None:
    assert rows_of(Record("1", "1", "1", "/x", 0, 1, {"SeriesNumber": text})).series["series_number"] == number


def test_what_only_an_event_knows() -> None:
    record = Record("1.2.3", "1", "1", "/x", 0, 1, {}, "CT\0" + "1" * 300, None, "192.0.2.7", "")
    instance = rows_of(record).instance
    assert instance["calling_ae_title"] == "CT\uef00" + "1" * 253
    assert (instance["called_ae_title"], instance["peer_address"], instance["digest"]) == (None, "192.0.2.7", "")
