"""Studies as a whole, by their age; for programs that remove old ones, which then let the index forget them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dcmrecv_index.database import Database

_STUDIES = """
SELECT studies.study_instance_uid, count(*), sum(instances.size), max(instances.received)
FROM instances
JOIN series ON series.series_instance_uid = instances.series_instance_uid
JOIN studies ON studies.study_instance_uid = series.study_instance_uid
GROUP BY studies.study_instance_uid ORDER BY max(instances.received), studies.study_instance_uid
"""

_INSTANCES = """
SELECT instances.sop_instance_uid, instances.location, instances.size, instances.received, instances.calling_ae_title
FROM instances JOIN series ON series.series_instance_uid = instances.series_instance_uid
WHERE series.study_instance_uid = :study ORDER BY instances.location
"""

_IN_CONFLICT = """
SELECT series.study_instance_uid, conflicts.study_instance_uid FROM conflicts
LEFT JOIN instances ON instances.sop_instance_uid = conflicts.sop_instance_uid
LEFT JOIN series ON series.series_instance_uid = instances.series_instance_uid
"""

_CHILDLESS = (
    "DELETE FROM conflicts WHERE sop_instance_uid NOT IN (SELECT sop_instance_uid FROM instances)",
    "DELETE FROM series WHERE series_instance_uid NOT IN (SELECT series_instance_uid FROM instances)",
    "DELETE FROM studies WHERE study_instance_uid NOT IN (SELECT study_instance_uid FROM series)",
    "DELETE FROM patients WHERE NOT EXISTS (SELECT 1 FROM studies WHERE studies.patient_id = patients.patient_id "
    "AND studies.issuer = patients.issuer) AND NOT EXISTS (SELECT 1 FROM conflicts "
    "WHERE conflicts.patient_id = patients.patient_id AND conflicts.issuer = patients.issuer)",
)
"""Statements that delete rows to which no instance belongs any more."""


class IndexedStudy(NamedTuple):
    """A study: how many instances it has, bytes of their data sets, when the last one was received (nanoseconds since
    the epoch)."""

    study_instance_uid: str
    instances: int
    size: int
    received: int


class IndexedInstance(NamedTuple):
    """An instance: its file, bytes of its data set, when it was received (nanoseconds since the epoch), and by whom it
    was sent, None if the index knows it by its file only."""

    sop_instance_uid: str
    location: str
    size: int
    received: int
    calling_ae_title: str | None


def studies_by_age(database: Database) -> list[IndexedStudy]:
    """All studies, the oldest first: by their last instance. Raises DatabaseError."""
    return [
        IndexedStudy(study, int(count), int(size), int(received))
        for study, count, size, received in database.execute(_STUDIES)
    ]


def instances_of(database: Database, study: str) -> list[IndexedInstance]:
    """The instances of a study. Raises DatabaseError."""
    return [IndexedInstance(*row) for row in database.execute(_INSTANCES, {"study": study})]


def studies_in_conflict(database: Database) -> set[str]:
    """The studies that conflicts are about: those that instances are filed under, and those that they name. Raises
    DatabaseError."""
    return {study for row in database.execute(_IN_CONFLICT) for study in row if study is not None}


def forget(database: Database, instances: Iterable[IndexedInstance]) -> None:
    """Delete the rows of instances, as far as they are as given: one that was sent again meanwhile stays. Also rows of
    series, studies and patients that have no instance then. In a transaction of `writing`. Raises DatabaseError."""
    for uid, location, _, received, _ in instances:
        database.execute(
            "DELETE FROM instances WHERE sop_instance_uid = :uid AND location = :location AND received = :received",
            {"uid": uid, "location": location, "received": received},
        )
    forget_childless(database)


def forget_childless(database: Database) -> None:
    """Delete the rows of series, studies, patients and conflicts that have no instance, in a transaction of
    `writing`."""
    for statement in _CHILDLESS:
        database.execute(statement)
