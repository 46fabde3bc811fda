"""From an instance to rows: character sets, missing and broken values."""

from __future__ import annotations

from typing import Any

import pytest

from dcmrecv_core.testing import fake_instance, sample_dataset
from dcmrecv_index.record import Record, record_of
from dcmrecv_index.rows import Rows, rows_of


def rows(**elements: Any) -> Rows:
    record = record_of(fake_instance(sample_dataset(**elements)), "/archive/x", 5)
    return rows_of(Record.from_line(record.to_line()))


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
    assert (instance["location"], instance["received"]) == ("/archive/x", 5)
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
        ({"PatientID": "A\0B"}, "A B"),
        ({"PatientID": "  A  "}, "A"),
        ({"PatientID": "\u00ff" * 5000, "SpecificCharacterSet": "ISO_IR 100"}, "\u00ff" * 256),
        ({"PatientID": "\udcff"}, "?"),
        ({"PatientID": "A", "SpecificCharacterSet": "NO SUCH SET"}, "A"),
    ],
)
def test_what_a_database_cannot_hold(elements: dict[str, str], text: str) -> None:
    raw = {keyword: value.encode("latin-1", "replace").decode("latin-1") for keyword, value in elements.items()}
    record = Record("1.2.3", "1", "1", "/x\udcff", 0, 1, raw)
    patient, _, _, instance = rows_of(Record.from_line(record.to_line()))
    assert patient["patient_id"] == text
    assert instance["location"] == "/x\\xff"


@pytest.mark.parametrize(
    ("text", "number"), [("7", 7), (" +7 ", 7), ("7\\8", 7), ("seven", None), ("", None), ("99999999999", None)]
)
def test_numbers(text: str, number: int | None) -> None:
    assert rows_of(Record("1", "1", "1", "/x", 0, 1, {"SeriesNumber": text})).series["series_number"] == number


@pytest.mark.parametrize("line", [b"", b"{", b"7", b"[1,2]", b'["1","1","1","/x",0,1]', b"\xff"])
def test_lines_that_are_no_records(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Record.from_line(line)


def test_a_replaced_uid_counts() -> None:
    """As in the file's meta information, so that a rescan finds the same instance."""
    dataset = sample_dataset()
    instance = fake_instance(dataset, in_receive=True)
    dataset.SOPInstanceUID = "1.2.3.4"
    instance.replace(dataset)
    assert record_of(instance, "/x", 1).sop_instance_uid == "1.2.3.4"


def test_the_record_has_the_uids_of_a_replaced_header() -> None:
    instance = fake_instance(in_receive=True)
    header = instance.copy_header()
    header.SOPInstanceUID, header.SOPClassUID = "9.8.7", "1.2.840.10008.5.1.4.1.1.4"
    instance.replace_header(header)
    record = record_of(instance, "/archive/x", 5)
    assert (record.sop_instance_uid, record.sop_class_uid) == ("9.8.7", "1.2.840.10008.5.1.4.1.1.4")
