"""A study stays with its patient, whatever is sent with its UID, and contradictions are shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from dcmrecv_core.testing import fake_instance, sample_dataset
from dcmrecv_index.commands import main
from dcmrecv_index.conflicts import Warnings
from dcmrecv_index.database import Database, connect
from dcmrecv_index.record import Record
from dcmrecv_index.write import write as write_record

Write = Callable[..., None]
Find = Callable[..., list[dict[str, Any]]]


def record(uid: str, patient: str = "A", *, study: str = "1.8", series: str = "1.8.1", **more: str) -> Record:
    elements = {"PatientID": patient, "StudyInstanceUID": study, "SeriesInstanceUID": series, **more}
    return Record(uid, "1", "1", f"/archive/{uid}", 10, 100, elements)


FIRST = record("1.1", PatientName="Ann", StudyDescription="Ann's")
STRAY = record("1.2", "B", PatientName="Bob", StudyDescription="Bob's")
OTHER_STUDY = record("1.3", study="1.9", StudyDescription="Ann's other")


@pytest.fixture(params=[False, True], ids=["events", "rescan"])
def write(database: Database, request: pytest.FixtureRequest) -> Write:
    """Writes records, all at once or one by one."""
    warnings = Warnings()

    def write_all(*records: Record, together: bool = True) -> None:
        for batch in [records] if together else [[one] for one in records]:
            with database.writing():
                found = [
                    write_record(database, each, only_later=request.param, keep_told=request.param) for each in batch
                ]
            warnings.warn(found)

    return write_all


def owners(database: Database) -> list[tuple[str, str, str]]:
    return database.execute("SELECT study_instance_uid, patient_id, study_description FROM studies ORDER BY 1")


def in_conflict(database: Database) -> list[str]:
    return [uid for (uid,) in database.execute("SELECT sop_instance_uid FROM conflicts ORDER BY 1")]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("issuer", ["", "elsewhere"])
def test_fault_8_a_stray_instance_does_not_move_a_study(
    database: Database, write: Write, find: Find, caplog: pytest.LogCaptureFixture, together: bool, issuer: str
) -> None:
    """Nor does the same ID of another issuer."""
    stray = replace(STRAY, elements={**STRAY.elements, "IssuerOfPatientID": issuer}, received=300)
    if issuer:
        stray = replace(stray, elements={**stray.elements, "PatientID": "A"})
    write(FIRST, stray, together=together)
    assert owners(database) == [("1.8", "A", "Ann's")]
    assert [row["sop_instance_uid"] for row in find("--level", "instance", "--patient-id", "A")] == ["1.1", "1.2"]
    said = ("A", "elsewhere") if issuer else ("B", "")
    assert find("--level", "conflict") == [
        {
            "patient_id": "A",
            "patient_name": "Ann",
            "study_instance_uid": "1.8",
            "other_patient_id": said[0],
            "other_issuer": said[1],
            "other_patient_name": "Bob",
            "other_study_instance_uid": "1.8",
            "series_instance_uid": "1.8.1",
            "sop_instance_uid": "1.2",
            "received": "1970-01-01T00:00:00+00:00",
            "location": "/archive/1.2",
        }
    ]
    other = "patient 'A' of 'elsewhere'" if issuer else "patient 'B'"
    assert caplog.messages == [f"study 1.8 stays with patient 'A': SOP instance 1.2 in file /archive/1.2 says {other}"]


def test_an_event_whose_file_is_gone_contradicts_no_issuer(database: Database, write: Write) -> None:
    """An event tells the Patient ID only."""
    write(record("1.1", IssuerOfPatientID="elsewhere"), replace(record("1.2"), from_file=False))
    assert in_conflict(database) == []
    assert database.execute("SELECT patient_id, issuer FROM patients") == [("A", "elsewhere")]


@pytest.mark.parametrize("together", [True, False])
def test_fault_8_the_first_one_owns_it_whatever_the_clock_says(
    database: Database, write: Write, together: bool
) -> None:
    write(STRAY, replace(FIRST, received=50), record("1.4"), together=together)
    assert owners(database) == [("1.8", "B", "Bob's")]
    assert in_conflict(database) == ["1.1", "1.4"]


def test_many_strays_are_told_once(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    write(FIRST, STRAY, *(replace(STRAY, sop_instance_uid=f"1.{number}") for number in range(10, 15)))
    write(replace(STRAY, sop_instance_uid="1.20"), STRAY)
    [message] = caplog.messages
    assert message.endswith("SOP instance 1.2 in file /archive/1.2 says patient 'B'")
    write(record("1.30", "C"))
    assert len(caplog.messages) == 2


@pytest.mark.parametrize("together", [True, False])
def test_a_series_stays_in_its_study(
    database: Database, write: Write, find: Find, caplog: pytest.LogCaptureFixture, together: bool
) -> None:
    write(FIRST, OTHER_STUDY, together=together)
    assert database.execute("SELECT series_instance_uid, study_instance_uid FROM series") == [("1.8.1", "1.8")]
    assert owners(database) == [("1.8", "A", "Ann's")], "a study without instances is not made"
    [conflict] = find("--level", "conflict")
    assert (conflict["study_instance_uid"], conflict["other_study_instance_uid"]) == ("1.8", "1.9")
    assert caplog.messages == [
        "series 1.8.1 stays with study 1.8: SOP instance 1.3 in file /archive/1.3 says study 1.9"
    ]


def test_a_strays_own_series(database: Database, write: Write) -> None:
    """It is in the study that it names; instances of the study's patient say more of it afterwards."""
    write(FIRST, replace(STRAY, elements={**STRAY.elements, "SeriesInstanceUID": "1.8.2", "Modality": "US"}))
    write(record("1.5", series="1.8.2", Modality="CT"))
    write(replace(STRAY, elements={**STRAY.elements, "SeriesInstanceUID": "1.8.2", "Modality": "MR"}))
    found = database.execute("SELECT series_instance_uid, study_instance_uid, modality FROM series ORDER BY 1")
    assert found == [("1.8.1", "1.8", ""), ("1.8.2", "1.8", "CT")]


@pytest.mark.parametrize("together", [True, False])
def test_a_corrected_instance_is_no_conflict(write: Write, find: Find, together: bool) -> None:
    write(FIRST, STRAY, record("1.2"), together=together)
    assert find("--level", "conflict") == []
    assert len(find("--level", "instance")) == 2


def test_a_study_that_was_given_to_the_other_patient(database: Database, write: Write, find: Find) -> None:
    """By hand, with a statement of SQL: it stays so."""
    write(FIRST, STRAY)
    database.execute("UPDATE studies SET patient_id = 'B', issuer = ''")
    assert find("--level", "conflict") == []
    write(STRAY)
    assert [owner[1] for owner in owners(database)] == ["B"]
    write(FIRST)
    assert [row["sop_instance_uid"] for row in find("--level", "conflict")] == ["1.1"]


def corrected(*uids: str, patient: str = "B", **more: str) -> list[Record]:
    """The same instances, sent again with another Patient ID."""
    return [record(uid, patient, PatientName="Bob", StudyDescription="Bob's", **more) for uid in uids]


@pytest.mark.parametrize("together", [True, False])
def test_a_study_that_comes_again_as_a_whole_is_moved(
    database: Database, write: Write, find: Find, caplog: pytest.LogCaptureFixture, together: bool
) -> None:
    """Someone has corrected the Patient ID. Up to the last instance it is not known that all are meant."""
    write(FIRST, record("1.2"), record("1.3", series="1.8.2"))
    write(*corrected("1.1", "1.2"), together=together)
    assert [owner[1] for owner in owners(database)] == ["A"]
    assert len(find("--level", "conflict")) == 2
    caplog.clear()
    write(*corrected("1.3", series="1.8.2"))
    assert owners(database) == [("1.8", "B", "Bob's")]
    assert find("--level", "conflict") == []
    assert in_conflict(database) == []
    assert len(find("--level", "instance", "--patient-id", "B")) == 3
    assert caplog.messages == ["study 1.8 goes from patient 'A' to patient 'B', whom all its instances name now"]
    write(*corrected("1.4"), record("1.5"))
    assert [conflict["sop_instance_uid"] for conflict in find("--level", "conflict")] == ["1.5"]


def test_all_at_once(database: Database, write: Write, find: Find) -> None:
    write(FIRST, record("1.2"))
    write(*corrected("1.1", "1.2", "1.9"))
    assert [owner[1] for owner in owners(database)] == ["B"]
    assert find("--level", "conflict") == []


@pytest.mark.parametrize(
    "last",
    [
        corrected("1.2", patient="C"),
        corrected("1.2", IssuerOfPatientID="elsewhere"),
        corrected("1.2", study="1.9"),
    ],
    ids=["third patient", "other issuer", "other study"],
)
def test_instances_that_do_not_agree_move_nothing(
    database: Database, write: Write, find: Find, last: list[Record]
) -> None:
    write(FIRST, record("1.2"))
    write(*corrected("1.1"), *last)
    assert [owner[1] for owner in owners(database)] == ["A"]
    assert len(find("--level", "conflict")) == 2


def test_rescan_and_prune(tmp_path: Path, database: Database, find: Find) -> None:
    paths = {}
    for uid, patient in (("1.1", "A"), ("1.2", "B")):
        dataset = sample_dataset(SOPInstanceUID=uid, PatientID=patient)
        paths[uid] = Path(fake_instance(dataset, output_directory=tmp_path).save(uid))
    for _ in range(2):
        assert main(["rescan", str(tmp_path), "--prune"]) == 0
        assert [row["other_patient_id"] for row in find("--level", "conflict")] == ["B"]
        assert [owner[1] for owner in owners(database)] == ["A"]
    paths["1.2"].unlink()
    assert main(["rescan", str(tmp_path), "--prune"]) == 0
    assert in_conflict(database) == []
    assert database.execute("SELECT patient_id FROM patients") == [("A",)]


def test_an_older_file_is_no_conflict(tmp_path: Path, database: Database, find: Find) -> None:
    """The instance has come again since, without the mistake, and lies elsewhere."""
    dataset = sample_dataset(SOPInstanceUID="1.2", PatientID="B")
    old = Path(fake_instance(dataset, output_directory=tmp_path).save("old"))
    os.utime(old, (1, 1))
    uids = {"study": dataset.StudyInstanceUID, "series": dataset.SeriesInstanceUID}
    with database.writing():
        write_record(database, record("1.1", **uids))
        write_record(database, replace(record("1.2", **uids), received=2 * 10**9))
    assert main(["rescan", str(tmp_path)]) == 0
    assert find("--level", "conflict") == []
    assert len(find("--level", "instance", "--patient-id", "A")) == 2


def test_two_writers_at_once(tmp_path: Path) -> None:
    """A delivery process and a rescan: the first one owns the study, and the other one's instance is a conflict."""
    rounds = 20
    barrier = Barrier(2, timeout=30)

    def write(writer: int) -> None:
        with closing(connect(tmp_path / "index.sqlite")) as database:
            for number in range(rounds):
                one = record(f"{writer}.{number}", "AB"[writer], study=f"2.{number}", series=f"3.{number}")
                barrier.wait()
                with database.writing():
                    write_record(database, one, only_later=bool(writer))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(2)))
    with closing(connect(tmp_path / "index.sqlite")) as database:
        owner = dict(database.execute("SELECT study_instance_uid, patient_id FROM studies"))
        other = dict(database.execute("SELECT study_instance_uid, patient_id FROM conflicts"))
    assert len(owner) == rounds
    assert {study: {patient, other[study]} for study, patient in owner.items()} == {
        study: {"A", "B"} for study in owner
    }
