"""Which patient a study belongs to: that of the instance that came first, until all its instances name another one.

An instance that names the study (or series) of another patient (or study) changes neither: it gets its own row in the
series that it names, and one in the table of conflicts, for people to look at. When the whole study has been sent again
with a corrected Patient ID, no instance is left that names the first patient, and the study is moved.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import NamedTuple

from dcmrecv_index.database import Database
from dcmrecv_index.rows import Rows

log = logging.getLogger("dcmrecv.index")

_MOST_TOLD = 10_000

_KNOWN = """
SELECT series.study_instance_uid, studies.patient_id, studies.issuer, instances.received, conflicts.sop_instance_uid
FROM (SELECT 1) AS record
LEFT JOIN series ON series.series_instance_uid = :series_instance_uid
LEFT JOIN studies ON studies.study_instance_uid = :study_instance_uid
LEFT JOIN instances ON instances.sop_instance_uid = :sop_instance_uid
LEFT JOIN conflicts ON conflicts.sop_instance_uid = :sop_instance_uid
"""

_INSTANCES_OF = """
SELECT instances.sop_instance_uid FROM instances
JOIN series ON series.series_instance_uid = instances.series_instance_uid
WHERE series.study_instance_uid = :study_instance_uid
"""

_OTHERS = f"""
{_INSTANCES_OF} AND NOT EXISTS (
    SELECT 1 FROM conflicts WHERE conflicts.sop_instance_uid = instances.sop_instance_uid
    AND conflicts.study_instance_uid = :study_instance_uid
    AND conflicts.patient_id = :patient_id AND conflicts.issuer = :issuer
) LIMIT 1
"""


class Known(NamedTuple):
    """What the index has of a record's series, study and instance, each None if there is none. `conflict` is the UID of
    the instance if that is in conflict."""

    study_of_series: str | None
    patient_id: str | None
    issuer: str | None
    received: int | None
    conflict: str | None


class Contradiction(NamedTuple):
    """What an instance says (`said`) and what is in the index (`kept`) about the `kind` and `key` above it. `moved`:
    its study was given to the patient that it names."""

    kind: str
    key: str
    kept: str
    said: str
    sop_instance_uid: str
    location: str
    moved: bool = False


def known(database: Database, rows: Rows) -> Known:
    [row] = database.execute(_KNOWN, {**rows.series, **rows.instance})
    return Known(*row)


def contradiction(index: Known, rows: Rows) -> Contradiction | None:
    """What the rows contradict in the index."""
    study, series = rows.study["study_instance_uid"], rows.series["series_instance_uid"]
    if index.study_of_series not in (None, study):
        return _found("series", series, f"study {index.study_of_series}", f"study {study}", rows)
    said = rows.patient["patient_id"], rows.patient["issuer"]
    if index.patient_id is not None and (index.patient_id, index.issuer) != said:
        return _found("study", study, _patient(index.patient_id, index.issuer), _patient(*said), rows)
    return None


def _found(kind: str, key: str, kept: str, said: str, rows: Rows) -> Contradiction:
    instance = rows.instance
    return Contradiction(kind, key, kept, said, instance["sop_instance_uid"], instance["location"])


def _patient(patient_id: str, issuer: str | None) -> str:
    return f"patient {patient_id!r}" + (f" of {issuer!r}" if issuer else "")


def moved(database: Database, found: Contradiction, rows: Rows) -> Contradiction:
    """Give the study to the patient that all its instances name now, if that is another one; they are no conflicts
    then. The row of the conflict has been written."""
    if found.kind != "study" or database.execute(_OTHERS, rows.study):
        return found
    columns = ", ".join(f"{column} = :{column}" for column in rows.study)
    database.execute(f"UPDATE studies SET {columns} WHERE study_instance_uid = :study_instance_uid", rows.study)
    database.execute(f"DELETE FROM conflicts WHERE sop_instance_uid IN ({_INSTANCES_OF})", rows.study)
    return found._replace(moved=True)


class Warnings:
    """Warns of contradictions, once for each study or series and each owner said."""

    def __init__(self) -> None:
        self._told: set[tuple[str, ...]] = set()

    def warn(self, contradictions: Iterable[Contradiction | None]) -> None:
        """To be called after the commit."""
        for each in contradictions:
            if each is not None:
                self._warn(each)

    def _warn(self, each: Contradiction) -> None:
        kind, key, kept, said, sop_instance_uid, location, is_moved = each
        if is_moved:
            log.warning("study %s goes from %s to %s, whom all its instances name now", key, kept, said)
            return
        told = (kind, key, kept, said)
        if told in self._told:
            return
        if len(self._told) >= _MOST_TOLD:
            self._told.clear()
        self._told.add(told)
        text = "%s %s stays with %s: SOP instance %s in file %s says %s"
        log.warning(text, kind, key, kept, sop_instance_uid, location, said)
