"""A study stays with its patient, whatever is sent with its UID, and contradictions are shown."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, select, text, update

from dcmrecv_core.testing import fake_instance, sample_dataset
from dcmrecv_index import conflicts
from dcmrecv_index.commands import main
from dcmrecv_index.database import connect, sqlite_url, upsert, writing
from dcmrecv_index.record import Record
from dcmrecv_index.tables import Base, Conflict, Patient, Series, Study

Write = Callable[..., None]
Find = Callable[..., list[dict[str, Any]]]


def record(uid: str, patient: str = "A", *, study: str = "1.8", series: str = "1.8.1", **more: str) -> Record:
    elements = {"PatientID": patient, "StudyInstanceUID": study, "SeriesInstanceUID": series, **more}
    return Record(uid, "1", "1", f"/archive/{uid}", 10, 100, elements)


FIRST = record("1.1", PatientName="Ann", StudyDescription="Ann's")
STRAY = record("1.2", "B", PatientName="Bob", StudyDescription="Bob's")
OTHER_STUDY = record("1.3", study="1.9", StudyDescription="Ann's other")


@pytest.fixture(params=[False, True], ids=["feeder", "rescan"])
def write(engine: Engine, request: pytest.FixtureRequest) -> Write:
    """Writes records, all at once or one by one."""

    def write_all(*records: Record, together: bool = True) -> None:
        for batch in [records] if together else [[one] for one in records]:
            with writing(engine) as connection:
                found = upsert(connection, batch, only_later=request.param)
            conflicts.warn(found)

    return write_all


@pytest.fixture
def find(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Find:
    def run(level: str, *arguments: str) -> list[dict[str, Any]]:
        capsys.readouterr()
        assert main(["find", "--json", "--level", level, "--directory", str(tmp_path), *arguments]) == 0
        rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        return rows

    return run


def owners(engine: Engine) -> list[tuple[str, str, str]]:
    with engine.connect() as connection:
        question = select(Study.study_instance_uid, Study.patient_id, Study.study_description)
        return sorted(map(tuple, connection.execute(question)))  # type: ignore[arg-type]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("issuer", ["", "elsewhere"])
def test_fault_8_a_stray_instance_does_not_move_a_study(
    engine: Engine, write: Write, find: Find, caplog: pytest.LogCaptureFixture, together: bool, issuer: str
) -> None:
    """Nor does the same ID of another issuer."""
    stray = replace(STRAY, elements={**STRAY.elements, "IssuerOfPatientID": issuer}, received=300)
    if issuer:
        stray = replace(stray, elements={**stray.elements, "PatientID": "A"})
    write(FIRST, stray, together=together)
    assert owners(engine) == [("1.8", "A", "Ann's")]
    assert [row["sop_instance_uid"] for row in find("instance", "--patient-id", "A")] == ["1.1", "1.2"]
    said = ("A", "elsewhere") if issuer else ("B", "")
    assert find("conflict") == [
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


@pytest.mark.parametrize("together", [True, False])
def test_fault_8_the_first_one_owns_it_whatever_the_clock_says(engine: Engine, write: Write, together: bool) -> None:
    write(STRAY, replace(FIRST, received=50), record("1.4"), together=together)
    assert owners(engine) == [("1.8", "B", "Bob's")]
    with engine.connect() as connection:
        assert sorted(connection.scalars(select(Conflict.sop_instance_uid))) == ["1.1", "1.4"]


def test_many_strays_are_told_once(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    write(FIRST, STRAY, *(replace(STRAY, sop_instance_uid=f"1.{number}") for number in range(10, 15)))
    [message] = caplog.messages
    assert message.endswith("SOP instance 1.2 in file /archive/1.2 and 5 more says patient 'B'")


@pytest.mark.parametrize("together", [True, False])
def test_a_series_stays_in_its_study(
    engine: Engine, write: Write, find: Find, caplog: pytest.LogCaptureFixture, together: bool
) -> None:
    write(FIRST, OTHER_STUDY, together=together)
    with engine.connect() as connection:
        [(series, study)] = connection.execute(select(Series.series_instance_uid, Series.study_instance_uid))
    assert (series, study) == ("1.8.1", "1.8")
    assert owners(engine) == [("1.8", "A", "Ann's")], "a study without instances is not made"
    [conflict] = find("conflict")
    assert (conflict["study_instance_uid"], conflict["other_study_instance_uid"]) == ("1.8", "1.9")
    assert caplog.messages == [
        "series 1.8.1 stays with study 1.8: SOP instance 1.3 in file /archive/1.3 says study 1.9"
    ]


def test_a_strays_own_series(engine: Engine, write: Write) -> None:
    """It is in the study that it names; instances of the study's patient say more of it afterwards."""
    write(FIRST, replace(STRAY, elements={**STRAY.elements, "SeriesInstanceUID": "1.8.2", "Modality": "US"}))
    write(record("1.5", series="1.8.2", Modality="CT"))
    write(replace(STRAY, elements={**STRAY.elements, "SeriesInstanceUID": "1.8.2", "Modality": "MR"}))
    with engine.connect() as connection:
        found = connection.execute(select(Series.series_instance_uid, Series.study_instance_uid, Series.modality))
        assert sorted(map(tuple, found)) == [("1.8.1", "1.8", ""), ("1.8.2", "1.8", "CT")]


@pytest.mark.parametrize("together", [True, False])
def test_a_corrected_instance_is_no_conflict(write: Write, find: Find, together: bool) -> None:
    write(FIRST, STRAY, record("1.2"), together=together)
    assert find("conflict") == []
    assert len(find("instance")) == 2


def test_a_study_that_was_given_to_the_other_patient(engine: Engine, write: Write, find: Find) -> None:
    """By hand, with a statement of SQL: it stays so."""
    write(FIRST, STRAY)
    with engine.begin() as connection:
        connection.execute(update(Study).values(patient_id="B", issuer=""))
    assert find("conflict") == []
    write(STRAY)
    assert [owner[1] for owner in owners(engine)] == ["B"]
    write(FIRST)
    assert [row["sop_instance_uid"] for row in find("conflict")] == ["1.1"]


def corrected(*uids: str, patient: str = "B", **more: str) -> list[Record]:
    """The same instances, sent again with another Patient ID."""
    return [record(uid, patient, PatientName="Bob", StudyDescription="Bob's", **more) for uid in uids]


@pytest.mark.parametrize("together", [True, False])
def test_a_study_that_comes_again_as_a_whole_is_moved(
    engine: Engine, write: Write, find: Find, caplog: pytest.LogCaptureFixture, together: bool
) -> None:
    """Someone has corrected the Patient ID. Up to the last instance it is not known that all are meant."""
    write(FIRST, record("1.2"), record("1.3", series="1.8.2"))
    write(*corrected("1.1", "1.2"), together=together)
    assert [owner[1] for owner in owners(engine)] == ["A"]
    assert len(find("conflict")) == 2
    caplog.clear()
    write(*corrected("1.3", series="1.8.2"))
    assert owners(engine) == [("1.8", "B", "Bob's")]
    assert find("conflict") == []
    with engine.connect() as connection:
        assert list(connection.scalars(select(Conflict.sop_instance_uid))) == []
    assert len(find("instance", "--patient-id", "B")) == 3
    assert caplog.messages == ["study 1.8 goes from patient 'A' to patient 'B', whom all its instances name now"]
    write(*corrected("1.4"), record("1.5"))
    assert [conflict["sop_instance_uid"] for conflict in find("conflict")] == ["1.5"]


def test_all_at_once(engine: Engine, write: Write, find: Find) -> None:
    write(FIRST, record("1.2"))
    write(*corrected("1.1", "1.2", "1.9"))
    assert [owner[1] for owner in owners(engine)] == ["B"]
    assert find("conflict") == []


@pytest.mark.parametrize(
    "last",
    [
        corrected("1.2", patient="C"),
        corrected("1.2", IssuerOfPatientID="elsewhere"),
        corrected("1.2", study="1.9"),
    ],
    ids=["third patient", "other issuer", "other study"],
)
def test_instances_that_do_not_agree_move_nothing(engine: Engine, write: Write, find: Find, last: list[Record]) -> None:
    write(FIRST, record("1.2"))
    write(*corrected("1.1"), *last)
    assert [owner[1] for owner in owners(engine)] == ["A"]
    assert len(find("conflict")) == 2


def test_rescan_and_prune(tmp_path: Path, engine: Engine, find: Find) -> None:
    paths = {}
    for uid, patient in (("1.1", "A"), ("1.2", "B")):
        dataset = sample_dataset(SOPInstanceUID=uid, PatientID=patient)
        paths[uid] = Path(fake_instance(dataset, output_directory=tmp_path).save(uid))
    for _ in range(2):
        assert main(["rescan", str(tmp_path), "--prune"]) == 0
        assert [row["other_patient_id"] for row in find("conflict")] == ["B"]
        assert [owner[1] for owner in owners(engine)] == ["A"]
    paths["1.2"].unlink()
    assert main(["rescan", str(tmp_path), "--prune"]) == 0
    with engine.connect() as connection:
        assert connection.scalars(select(Conflict.sop_instance_uid)).all() == []
        assert connection.scalars(select(Patient.patient_id)).all() == ["A"]


def test_an_older_file_is_no_conflict(tmp_path: Path, engine: Engine, find: Find) -> None:
    """The instance has come again since, without the mistake, and lies elsewhere."""
    dataset = sample_dataset(SOPInstanceUID="1.2", PatientID="B")
    old = Path(fake_instance(dataset, output_directory=tmp_path).save("old"))
    os.utime(old, (1, 1))
    uids = {"study": dataset.StudyInstanceUID, "series": dataset.SeriesInstanceUID}
    with writing(engine) as connection:
        upsert(connection, [record("1.1", **uids), replace(record("1.2", **uids), received=2 * 10**9)])
    assert main(["rescan", str(tmp_path)]) == 0
    assert find("conflict") == []
    assert len(find("instance", "--patient-id", "A")) == 2


def test_two_writers_at_once(tmp_path: Path) -> None:
    """Feeder and rescan: the first one owns the study, and the other one's instance is a conflict."""
    url = sqlite_url(tmp_path)
    engines = connect(url), connect(url)
    rounds = 20
    barrier = Barrier(2, timeout=30)

    def write(writer: int) -> None:
        for number in range(rounds):
            one = record(f"{writer}.{number}", "AB"[writer], study=f"2.{number}", series=f"3.{number}")
            barrier.wait()
            with writing(engines[writer]) as connection:
                upsert(connection, [one], only_later=bool(writer))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(2)))
    with engines[0].connect() as connection:
        owner = dict(map(tuple, connection.execute(select(Study.study_instance_uid, Study.patient_id))))
        other = dict(map(tuple, connection.execute(select(Conflict.study_instance_uid, Conflict.patient_id))))
    assert len(owner) == rounds
    assert {study: {patient, other[study]} for study, patient in owner.items()} == {
        study: {"A", "B"} for study in owner
    }
    for engine in engines:
        engine.dispose()


def test_a_database_of_the_version_before(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    engine = connect(url)
    with writing(engine) as connection:
        upsert(connection, [FIRST])
        connection.execute(text("DROP TABLE conflicts"))
    before = {name: inspect(engine).get_columns(name) for name in inspect(engine).get_table_names()}
    engine.dispose()
    engine = connect(url)
    after = {name: inspect(engine).get_columns(name) for name in inspect(engine).get_table_names()}
    assert after.keys() - before.keys() == {"conflicts"}
    assert {name: list(map(str, after[name])) for name in before} == {
        name: list(map(str, columns)) for name, columns in before.items()
    }
    with writing(engine) as connection:
        upsert(connection, [STRAY])
    assert owners(engine) == [("1.8", "A", "Ann's")]
    assert set(Base.metadata.tables) == {*before, "conflicts"}
    engine.dispose()
