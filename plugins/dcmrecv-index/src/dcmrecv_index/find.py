"""Queries of the index."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dcmrecv_index.database import Database

FILTERS: Mapping[str, str] = {
    "patient_id": "patients.patient_id",
    "patient_name": "patients.patient_name",
    "accession_number": "studies.accession_number",
    "study_date": "studies.study_date",
    "study_instance_uid": "studies.study_instance_uid",
    "modality": "series.modality",
    "series_instance_uid": "series.series_instance_uid",
    "sop_instance_uid": "instances.sop_instance_uid",
    "from": "instances.calling_ae_title",
    "to": "instances.called_ae_title",
}
"""The conditions of a query; * in a value stands for any characters, ? for one; upper and lower case differ."""

LEVELS: Mapping[str, tuple[str, ...]] = {
    "study": (
        *("patients.patient_id", "patients.patient_name", "studies.study_date", "studies.accession_number"),
        *("studies.study_description", "count(*) AS instances", "studies.study_instance_uid"),
    ),
    "series": (
        *("patients.patient_id", "studies.study_date", "series.modality", "series.series_number"),
        *("series.series_description", "count(*) AS instances", "series.series_instance_uid"),
    ),
    "instance": (
        *("patients.patient_id", "series.modality", "instances.instance_number", "instances.sop_instance_uid"),
        *("instances.transfer_syntax_uid", "instances.size", "instances.received"),
        *("instances.calling_ae_title", "instances.called_ae_title", "instances.peer_address", "instances.digest"),
        "instances.location",
    ),
    "conflict": (
        *("patients.patient_id", "patients.patient_name", "studies.study_instance_uid"),
        *("conflicts.patient_id AS other_patient_id", "conflicts.issuer AS other_issuer"),
        *("other.patient_name AS other_patient_name", "conflicts.study_instance_uid AS other_study_instance_uid"),
        *("series.series_instance_uid", "instances.sop_instance_uid", "instances.received", "instances.location"),
    ),
}
"""The columns of a result. For a conflict: first where the instance is filed, then what it says itself (`other`)."""

_JOINED = """
FROM instances
JOIN series ON series.series_instance_uid = instances.series_instance_uid
JOIN studies ON studies.study_instance_uid = series.study_instance_uid
JOIN patients ON patients.patient_id = studies.patient_id AND patients.issuer = studies.issuer
"""

_ANY_UID = (
    "(instances.sop_instance_uid = :uid OR instances.original_uid_hash = :uid_hash "
    "OR series.series_instance_uid = :uid OR studies.study_instance_uid = :uid)"
)

_CONFLICTS = """
JOIN conflicts ON conflicts.sop_instance_uid = instances.sop_instance_uid
-- a study may have been given to the other patient meanwhile
AND (conflicts.study_instance_uid <> series.study_instance_uid
     OR conflicts.patient_id <> studies.patient_id OR conflicts.issuer <> studies.issuer)
LEFT JOIN patients AS other ON other.patient_id = conflicts.patient_id AND other.issuer = conflicts.issuer
"""


def names_of(level: str) -> list[str]:
    """The names of the columns of a result."""
    return [re.split(r"\.| AS ", column)[-1] for column in LEVELS[level]]


def find(
    database: Database,
    level: str,
    filters: Mapping[str, str],
    *,
    uid: str | None = None,
    uid_hash: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[dict[str, Any]]:
    """The studies, series, instances or conflicts with instances that meet all `filters` (keys of FILTERS) and were
    received from `since` on and before `until`, sorted by their columns.

    `uid` is that of a study, series or instance; `uid_hash` its hash (`PluginSettings.original_uid_hash`): an instance
    is also found by the UID that it was sent with. Raises DatabaseError.
    """
    columns = LEVELS[level]
    conditions, values = in_period(since, until)
    if uid is not None:
        conditions.append(_ANY_UID)
        values |= {"uid": uid, "uid_hash": uid_hash}
    for name, value in filters.items():
        condition, values[f"value_{name}"] = _condition(FILTERS[name], f":value_{name}", value, database.is_sqlite)
        conditions.append(condition)
    query = f"SELECT {', '.join(columns)} {_JOINED}"
    if level == "conflict":
        query += _CONFLICTS
    if conditions:
        query += f" WHERE {' AND '.join(conditions)}"
    order = [str(number) for number, _ in enumerate(columns, 1)]
    if level in ("study", "series"):
        query += (
            f" GROUP BY {', '.join(number for number, column in zip(order, columns, strict=True) if '(' not in column)}"
        )
    query += f" ORDER BY {', '.join(order)}"
    names = names_of(level)
    return [_shown(dict(zip(names, row, strict=True))) for row in database.execute(query, values)]


def in_period(since: datetime | None, until: datetime | None) -> tuple[list[str], dict[str, Any]]:
    """Conditions for the time of reception, and their values."""
    conditions, values = [], {}
    for name, moment, comparison in (("since", since, ">="), ("until", until, "<")):
        if moment is not None:
            conditions.append(f"instances.received {comparison} :{name}")
            values[name] = int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000
    return conditions, values


def shown_time(received: int) -> str:
    """UTC, in ISO 8601."""
    return datetime.fromtimestamp(received / 1e9, UTC).isoformat(timespec="seconds")


def _condition(column: str, parameter: str, value: str, is_sqlite: bool) -> tuple[str, str]:
    """A condition with its parameter, and the value of that."""
    if "*" not in value and "?" not in value:
        return f"{column} = {parameter}", value
    if is_sqlite:  # its LIKE ignores case, PostgreSQL's does not
        return f"{column} GLOB {parameter}", value.replace("[", "[[]")
    escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"{column} LIKE {parameter}", escaped.replace("*", "%").replace("?", "_")


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    if "received" in row:
        row["received"] = shown_time(row["received"])
    return row
