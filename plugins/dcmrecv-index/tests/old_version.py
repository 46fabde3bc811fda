"""What version 0.1.0 left: its database, and its queue of lines."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

OLD_TABLES = {
    "patients": """patient_id VARCHAR NOT NULL, issuer VARCHAR NOT NULL, patient_name VARCHAR NOT NULL,
        birth_date VARCHAR NOT NULL, sex VARCHAR NOT NULL, received BIGINT NOT NULL,
        PRIMARY KEY (patient_id, issuer)""",
    "studies": """study_instance_uid VARCHAR NOT NULL, patient_id VARCHAR NOT NULL, issuer VARCHAR NOT NULL,
        study_date VARCHAR NOT NULL, study_time VARCHAR NOT NULL, accession_number VARCHAR NOT NULL,
        study_id VARCHAR NOT NULL, study_description VARCHAR NOT NULL, referring_physician VARCHAR NOT NULL,
        received BIGINT NOT NULL, PRIMARY KEY (study_instance_uid),
        FOREIGN KEY(patient_id, issuer) REFERENCES patients (patient_id, issuer)""",
    "series": """series_instance_uid VARCHAR NOT NULL, study_instance_uid VARCHAR NOT NULL, modality VARCHAR NOT NULL,
        series_number INTEGER, series_date VARCHAR NOT NULL, series_description VARCHAR NOT NULL,
        body_part VARCHAR NOT NULL, received BIGINT NOT NULL, PRIMARY KEY (series_instance_uid),
        FOREIGN KEY(study_instance_uid) REFERENCES studies (study_instance_uid)""",
    "instances": """sop_instance_uid VARCHAR NOT NULL, series_instance_uid VARCHAR NOT NULL,
        sop_class_uid VARCHAR NOT NULL, transfer_syntax_uid VARCHAR NOT NULL, instance_number INTEGER,
        location VARCHAR NOT NULL, size BIGINT NOT NULL, received BIGINT NOT NULL, PRIMARY KEY (sop_instance_uid),
        FOREIGN KEY(series_instance_uid) REFERENCES series (series_instance_uid)""",
    "conflicts": """sop_instance_uid VARCHAR NOT NULL, study_instance_uid VARCHAR NOT NULL, patient_id VARCHAR NOT NULL,
        issuer VARCHAR NOT NULL, location VARCHAR NOT NULL, received BIGINT NOT NULL, PRIMARY KEY (sop_instance_uid)""",
    "queue_positions": "name VARCHAR NOT NULL, position BIGINT NOT NULL, PRIMARY KEY (name)",
}

OLD_INDEXES = {
    "ix_conflicts_study_instance_uid": "conflicts (study_instance_uid)",
    "ix_patients_patient_name": "patients (patient_name)",
    "ix_studies_accession_number": "studies (accession_number)",
    "ix_studies_patient": "studies (patient_id, issuer)",
    "ix_studies_study_date": "studies (study_date)",
    "ix_series_study_instance_uid": "series (study_instance_uid)",
    "ix_instances_location": "instances (location)",
    "ix_instances_series_instance_uid": "instances (series_instance_uid)",
}

OLD_ROWS: dict[str, list[tuple[Any, ...]]] = {
    "patients": [("4711", "", "Doe^Jane", "19700102", "F", 100)],
    "studies": [("1.8", "4711", "", "20200102", "1030", "A1", "S1", "Head", "", 100)],
    "series": [("1.8.1", "1.8", "CT", 1, "", "", "", 100)],
    "instances": [
        ("1.1", "1.8.1", "1.2", "1.2.3", 1, "/archive/1.1", 10, 90),
        ("1.2", "1.8.1", "1.2", "1.2.3", None, "/archive/1.2", 10, 100),
    ],
}


def old_statements(without: Collection[str] = ()) -> list[str]:
    """Those that made the tables, except some."""
    tables = [f"CREATE TABLE {name} ({columns})" for name, columns in OLD_TABLES.items() if name not in without]
    indexes = [f"CREATE INDEX {name} ON {on}" for name, on in OLD_INDEXES.items() if on.split()[0] not in without]
    return [*tables, *indexes]


def old_inserts() -> list[str]:
    """Statements that write `OLD_ROWS`."""

    def literal(value: Any) -> str:
        return "NULL" if value is None else repr(value)

    return [
        f"INSERT INTO {table} VALUES ({', '.join(map(literal, row))})"
        for table, rows in OLD_ROWS.items()
        for row in rows
    ]


def old_database(path: Path, without: Collection[str] = ()) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        for statement in (*old_statements(without), *old_inserts()):
            database.execute(statement)


def line(uid: str, *, location: str = "", received: int = 100, **elements: str) -> bytes:
    """A line of the queue."""
    told = {"PatientID": "4711", "StudyInstanceUID": "1.8", "SeriesInstanceUID": "1.8.1", **elements}
    moment = 4711
    values = (uid, "1.2", "1.2.3", location or f"/archive/{uid}", 10, received, told, moment)
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def queue_file(directory: Path, name: str, lines: Sequence[bytes]) -> Path:
    path = directory / "index-queue" / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(lines))
    return path
