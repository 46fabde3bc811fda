"""Which patient a study belongs to: that of the instance that came first, until all its instances name another one.

An instance that names the study (or series) of another patient (or study) changes neither: it gets its own row in the
series that it names, and one in the table of conflicts, for people to look at. When the whole study has been sent again
with a corrected Patient ID, no instance is left that names the first patient, and the study is moved.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, Table, and_, not_, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from dcmrecv_index.rows import Row, Rows
from dcmrecv_index.tables import Conflict, Instance, Series, Study

log = logging.getLogger("dcmrecv.index")

_CONFLICTS: Table = Conflict.__table__  # type: ignore[assignment]
_STUDIES: Table = Study.__table__  # type: ignore[assignment]
_MOST_PARAMETERS = 500  # of one statement; SQLite may take no more than 999


class Contradiction(NamedTuple):
    """What an instance says (`said`) and what is in the index (`kept`) about the `kind` and `key` above it. `row` is
    that of the conflict, `study` what the instance says of its study; `moved`: all others of the study say the same."""

    kind: str
    key: str
    kept: str
    said: str
    row: Row
    study: Row
    moved: bool = False


class Owners:
    """The patients of studies and the studies of series, valid in a transaction of `writing`."""

    def __init__(self, connection: Connection, rows: Sequence[Rows]) -> None:
        studies = {each.study["study_instance_uid"] for each in rows}
        series = {each.series["series_instance_uid"] for each in rows}
        patients_of = _known(connection, studies, Study.study_instance_uid, Study.patient_id, Study.issuer)
        self._patients = {row[0]: (row[1], row[2]) for row in patients_of}
        self._studies: dict[str, str] = dict(
            map(tuple, _known(connection, series, Series.series_instance_uid, Series.study_instance_uid))
        )

    def claim(self, rows: Rows) -> tuple[tuple[Row | None, ...], Contradiction | None]:
        """The rows of one instance that are to be written: patient, study, series, instance, None for those that stay
        as they are. A study or series without owner gets this one."""
        patient, study, series, instance = rows
        study_key, series_key = study["study_instance_uid"], series["series_instance_uid"]
        is_known = series_key in self._studies
        its_study = self._studies.setdefault(series_key, study_key)
        if its_study != study_key:
            return (patient, None, None, instance), _contradiction(
                "series", series_key, f"study {its_study}", f"study {study_key}", rows
            )
        said = patient["patient_id"], patient["issuer"]
        its_patient = self._patients.setdefault(study_key, said)
        if its_patient != said:
            new_series = None if is_known else series
            found = _contradiction("study", study_key, _patient(its_patient), _patient(said), rows)
            return (patient, None, new_series, instance), found
        return rows, None


def _contradiction(kind: str, key: str, kept: str, said: str, rows: Rows) -> Contradiction:
    row = {
        "sop_instance_uid": rows.instance["sop_instance_uid"],
        "study_instance_uid": rows.study["study_instance_uid"],
        "patient_id": rows.patient["patient_id"],
        "issuer": rows.patient["issuer"],
        "location": rows.instance["location"],
        "received": rows.instance["received"],
    }
    return Contradiction(kind, key, kept, said, row, rows.study)


def _patient(key: tuple[str, str]) -> str:
    patient_id, issuer = key
    return f"patient {patient_id!r}" + (f" of {issuer!r}" if issuer else "")


def current(connection: Connection, contradictions: Iterable[Contradiction]) -> list[Contradiction]:
    """The contradictions of instances whose row is not that of a later file."""
    found = list(contradictions)
    keys = [each.row["sop_instance_uid"] for each in found]
    locations = dict(map(tuple, _known(connection, keys, Instance.sop_instance_uid, Instance.location)))
    return [each for each in found if each.row["location"] == locations[each.row["sop_instance_uid"]]]


def delete_resolved(connection: Connection, rows: Iterable[Row], *, only_later: bool) -> None:
    """Delete the conflicts of instances that were sent again without one; `rows` are theirs in the instance table."""
    received = {row["sop_instance_uid"]: row["received"] for row in rows}
    for key, before in _known(connection, received, Conflict.sop_instance_uid, Conflict.received):
        if not only_later or before <= received[key]:
            connection.execute(_CONFLICTS.delete().where(_CONFLICTS.c.sop_instance_uid == key))


def move(connection: Connection, contradictions: Iterable[Contradiction]) -> list[Contradiction]:
    """Give each study to the patient that all its instances name now, if that is another one; they are no conflicts
    then. Their rows have been written. Returns the contradictions, with what became of their studies."""
    found = list(contradictions)
    last = {each.key: each for each in found if each.kind == "study"}
    moved = {key for key, each in last.items() if not _has_others(connection, each)}
    for key in moved:
        instances = _instances_of(key)
        connection.execute(_STUDIES.update().where(_STUDIES.c.study_instance_uid == key).values(last[key].study))
        connection.execute(_CONFLICTS.delete().where(_CONFLICTS.c.sop_instance_uid.in_(instances)))
    return [each._replace(moved=each.kind == "study" and each.key in moved) for each in found]


def _has_others(connection: Connection, contradiction: Contradiction) -> bool:
    """Whether any instance of the study does not say what this one says."""
    said = contradiction.study
    others = _instances_of(contradiction.key).outerjoin(
        Conflict, Conflict.sop_instance_uid == Instance.sop_instance_uid
    )
    agrees = and_(
        Conflict.study_instance_uid == contradiction.key,
        Conflict.patient_id == said["patient_id"],
        Conflict.issuer == said["issuer"],
    )
    disagrees = or_(Conflict.sop_instance_uid.is_(None), not_(agrees))
    return connection.execute(others.where(disagrees).limit(1)).first() is not None


def _instances_of(study: str) -> Select[str]:
    joined = select(Instance.sop_instance_uid).join(Series, Series.series_instance_uid == Instance.series_instance_uid)
    return joined.where(Series.study_instance_uid == study)


def warn(contradictions: Iterable[Contradiction]) -> None:
    """One log line for each study or series and each owner said; to be called after the commit."""
    told: dict[tuple[str, ...], list[Row]] = {}
    moved: dict[str, Contradiction] = {}
    for each in contradictions:
        if each.moved:
            moved[each.key] = each
        else:
            told.setdefault((each.kind, each.key, each.kept, each.said), []).append(each.row)
    for key, each in moved.items():
        log.warning("study %s goes from %s to %s, whom all its instances name now", key, each.kept, each.said)
    for (kind, key, kept, said), rows in told.items():
        more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        log.warning(
            "%s %s stays with %s: SOP instance %s in file %s%s says %s",
            *(kind, key, kept, rows[0]["sop_instance_uid"], rows[0]["location"], more, said),
        )


def _known(
    connection: Connection, keys: Iterable[str], key: InstrumentedAttribute[str], *columns: InstrumentedAttribute[Any]
) -> list[Any]:
    """Key and columns of the rows that have one of the keys."""
    wanted = sorted(keys)
    parts = (wanted[start : start + _MOST_PARAMETERS] for start in range(0, len(wanted), _MOST_PARAMETERS))
    return [row for part in parts for row in connection.execute(select(key, *columns).where(key.in_(part)))]
