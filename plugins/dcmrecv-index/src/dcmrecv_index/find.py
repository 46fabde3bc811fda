"""Queries of the index."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, func, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from dcmrecv_index.tables import Conflict, Instance, Patient, Series, Study

FILTERS: Mapping[str, InstrumentedAttribute[str]] = {
    "patient_id": Patient.patient_id,
    "patient_name": Patient.patient_name,
    "accession_number": Study.accession_number,
    "study_date": Study.study_date,
    "study_instance_uid": Study.study_instance_uid,
    "modality": Series.modality,
    "series_instance_uid": Series.series_instance_uid,
    "sop_instance_uid": Instance.sop_instance_uid,
}
"""The conditions of a query; * in a value stands for any characters, ? for one; upper and lower case differ."""

_INSTANCES = func.count(Instance.sop_instance_uid).label("instances")

_OTHER = aliased(Patient)

LEVELS: Mapping[str, tuple[Any, ...]] = {
    "study": (
        *(Patient.patient_id, Patient.patient_name, Study.study_date, Study.accession_number),
        *(Study.study_description, _INSTANCES, Study.study_instance_uid),
    ),
    "series": (
        *(Patient.patient_id, Study.study_date, Series.modality, Series.series_number),
        *(Series.series_description, _INSTANCES, Series.series_instance_uid),
    ),
    "instance": (
        *(Patient.patient_id, Series.modality, Instance.instance_number, Instance.sop_instance_uid),
        *(Instance.transfer_syntax_uid, Instance.size, Instance.received, Instance.location),
    ),
    "conflict": (
        *(Patient.patient_id, Patient.patient_name, Study.study_instance_uid),
        Conflict.patient_id.label("other_patient_id"),
        Conflict.issuer.label("other_issuer"),
        _OTHER.patient_name.label("other_patient_name"),
        Conflict.study_instance_uid.label("other_study_instance_uid"),
        *(Series.series_instance_uid, Instance.sop_instance_uid, Instance.received, Instance.location),
    ),
}
"""The columns of a result. For a conflict: first where the instance is filed, then what it says itself (`other`)."""


def find(engine: Engine, level: str, filters: Mapping[str, str]) -> list[dict[str, Any]]:
    """The studies, series, instances or conflicts that meet all `filters` (keys of FILTERS), sorted by their columns.

    Raises SQLAlchemyError.
    """
    columns = LEVELS[level]
    query = (
        select(*columns)
        .select_from(Instance)
        .join(Series, Series.series_instance_uid == Instance.series_instance_uid)
        .join(Study, Study.study_instance_uid == Series.study_instance_uid)
        .join(Patient, (Patient.patient_id == Study.patient_id) & (Patient.issuer == Study.issuer))
        .where(*(_condition(FILTERS[name], value, engine.dialect.name) for name, value in filters.items()))
    )
    if level == "conflict":
        query = (
            query.join(Conflict, Conflict.sop_instance_uid == Instance.sop_instance_uid)
            .outerjoin(_OTHER, (_OTHER.patient_id == Conflict.patient_id) & (_OTHER.issuer == Conflict.issuer))
            .where(  # a study may have been given to the other patient meanwhile
                (Conflict.study_instance_uid != Series.study_instance_uid)
                | (Conflict.patient_id != Study.patient_id)
                | (Conflict.issuer != Study.issuer)
            )
        )
    elif level != "instance":
        query = query.group_by(*(column for column in columns if column is not _INSTANCES))
    query = query.order_by(*columns)
    with engine.connect() as connection:
        return [_shown(dict(row)) for row in connection.execute(query).mappings()]


def _condition(column: InstrumentedAttribute[str], value: str, dialect: str) -> ColumnElement[bool]:
    if "*" not in value and "?" not in value:
        return column == value
    if dialect == "sqlite":  # its LIKE ignores case, PostgreSQL's does not
        return column.op("GLOB", is_comparison=True)(value.replace("[", "[[]"))
    escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return column.like(escaped.replace("*", "%").replace("?", "_"), escape="\\")


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    if "received" in row:
        row["received"] = datetime.fromtimestamp(row["received"] / 1e9, UTC).isoformat(timespec="seconds")
    return row
