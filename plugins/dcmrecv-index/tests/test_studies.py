"""Studies by their age, and forgetting instances."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dcmrecv_core.testing import fake_event, sample_dataset
from dcmrecv_index.database import Database
from dcmrecv_index.record import record_of_event
from dcmrecv_index.studies import IndexedInstance, forget, instances_of, studies_by_age, studies_in_conflict
from dcmrecv_index.write import write


def add(database: Database, uid: str, study: str, second: int, **elements: str) -> None:
    """An instance that came in this second."""
    dataset = sample_dataset(SOPInstanceUID=uid, StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1", **elements)
    event = fake_event(dataset, received_at=datetime.fromtimestamp(second, UTC))
    with database.writing():
        write(database, record_of_event(event))


def tables(database: Database) -> list[int]:
    names = ("patients", "studies", "series", "instances", "conflicts")
    return [database.execute(f"SELECT count(*) FROM {name}")[0][0] for name in names]


def test_the_oldest_first_by_the_last_instance(database: Database) -> None:
    add(database, "1", "1.1", 100)
    add(database, "2", "1.2", 200)
    add(database, "3", "1.1", 300)
    found = studies_by_age(database)
    assert [(each.study_instance_uid, each.instances, each.received) for each in found] == [
        ("1.2", 1, 200 * 10**9),
        ("1.1", 2, 300 * 10**9),
    ]
    assert found[1].size == sum(each.size for each in instances_of(database, "1.1")) > 0


def test_instances_of_a_study(database: Database) -> None:
    add(database, "1", "1.1", 100)
    add(database, "2", "1.2", 200)
    [instance] = instances_of(database, "1.1")
    assert (instance.sop_instance_uid, instance.received, instance.calling_ae_title) == ("1", 100 * 10**9, "SENDER")


def test_forgetting(database: Database) -> None:
    add(database, "1", "1.1", 100, PatientID="A")
    add(database, "2", "1.2", 200, PatientID="B")
    assert tables(database) == [2, 2, 2, 2, 0]
    with database.writing():
        forget(database, instances_of(database, "1.1"))
    assert tables(database) == [1, 1, 1, 1, 0]
    assert [each.study_instance_uid for each in studies_by_age(database)] == ["1.2"]


def test_an_instance_that_came_again_is_not_forgotten(database: Database) -> None:
    add(database, "1", "1.1", 100)
    before = instances_of(database, "1.1")
    add(database, "1", "1.1", 200)
    with database.writing():
        forget(database, before)
    assert tables(database) == [1, 1, 1, 1, 0]


def test_studies_in_conflict(database: Database) -> None:
    """Those that an instance is filed under, and those that it names."""
    add(database, "1", "1.1", 100, PatientID="A")
    assert studies_in_conflict(database) == set()
    add(database, "2", "1.1", 100, PatientID="B")
    assert studies_in_conflict(database) == {"1.1"}


@pytest.mark.parametrize("field", ["location", "received"])
def test_what_differs_is_not_forgotten(database: Database, field: str, tmp_path: Path) -> None:
    add(database, "1", "1.1", 100)
    [instance] = instances_of(database, "1.1")
    other: IndexedInstance = instance._replace(**{field: 1 if field == "received" else "elsewhere"})
    with database.writing():
        forget(database, [other])
    assert tables(database)[3] == 1
