"""The tables. Keys are DICOM's own, so that each row can be written again without harm.

All columns are text as it was sent, except numbers, sizes and the time of reception. Dates are text, too: YYYYMMDD
sorts correctly, and senders write other forms. An empty string means that nothing was sent.

    patients    ID and issuer identify a patient: two hospitals may use the same ID
    studies
    series
    instances   `received`, as in the other tables, in nanoseconds since the epoch; `size` in bytes of the data set; who
                sent it, the digest of what was stored, and a hash of the UID that it was sent with, if a plugin gave it
                another one: NULL if the instance is known by its file only
    conflicts   instances that name the study of another patient, or the series of another study: what they say
                themselves. No foreign keys: rows of the other tables can be deleted without regard to this one
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcmrecv_index.database import Database

VERSION = 3
"""Of the tables, in `schema_version`. Version 1 had no such table, and no columns of events; version 2 no
`original_uid_hash`."""

KEYS = {
    "patients": ("patient_id", "issuer"),
    "studies": ("study_instance_uid",),
    "series": ("series_instance_uid",),
    "instances": ("sop_instance_uid",),
    "conflicts": ("sop_instance_uid",),
}

OF_EVENTS = ("calling_ae_title", "called_ae_title", "peer_address", "digest", "original_uid_hash")
"""Columns of `instances` that a file does not tell."""

_TABLES = """
CREATE TABLE IF NOT EXISTS patients (
    patient_id VARCHAR NOT NULL, issuer VARCHAR NOT NULL, patient_name VARCHAR NOT NULL, birth_date VARCHAR NOT NULL,
    sex VARCHAR NOT NULL, received BIGINT NOT NULL, PRIMARY KEY (patient_id, issuer)
);
CREATE INDEX IF NOT EXISTS ix_patients_patient_name ON patients (patient_name);

CREATE TABLE IF NOT EXISTS studies (
    study_instance_uid VARCHAR NOT NULL, patient_id VARCHAR NOT NULL, issuer VARCHAR NOT NULL,
    study_date VARCHAR NOT NULL, study_time VARCHAR NOT NULL, accession_number VARCHAR NOT NULL,
    study_id VARCHAR NOT NULL, study_description VARCHAR NOT NULL, referring_physician VARCHAR NOT NULL,
    received BIGINT NOT NULL, PRIMARY KEY (study_instance_uid),
    FOREIGN KEY (patient_id, issuer) REFERENCES patients (patient_id, issuer)
);
CREATE INDEX IF NOT EXISTS ix_studies_patient ON studies (patient_id, issuer);
CREATE INDEX IF NOT EXISTS ix_studies_study_date ON studies (study_date);
CREATE INDEX IF NOT EXISTS ix_studies_accession_number ON studies (accession_number);

CREATE TABLE IF NOT EXISTS series (
    series_instance_uid VARCHAR NOT NULL, study_instance_uid VARCHAR NOT NULL, modality VARCHAR NOT NULL,
    series_number INTEGER, series_date VARCHAR NOT NULL, series_description VARCHAR NOT NULL,
    body_part VARCHAR NOT NULL, received BIGINT NOT NULL, PRIMARY KEY (series_instance_uid),
    FOREIGN KEY (study_instance_uid) REFERENCES studies (study_instance_uid)
);
CREATE INDEX IF NOT EXISTS ix_series_study_instance_uid ON series (study_instance_uid);

CREATE TABLE IF NOT EXISTS instances (
    sop_instance_uid VARCHAR NOT NULL, series_instance_uid VARCHAR NOT NULL, sop_class_uid VARCHAR NOT NULL,
    transfer_syntax_uid VARCHAR NOT NULL, instance_number INTEGER, location VARCHAR NOT NULL, size BIGINT NOT NULL,
    received BIGINT NOT NULL, PRIMARY KEY (sop_instance_uid),
    FOREIGN KEY (series_instance_uid) REFERENCES series (series_instance_uid)
);
CREATE INDEX IF NOT EXISTS ix_instances_series_instance_uid ON instances (series_instance_uid);
CREATE INDEX IF NOT EXISTS ix_instances_location ON instances (location);

CREATE TABLE IF NOT EXISTS conflicts (
    sop_instance_uid VARCHAR NOT NULL, study_instance_uid VARCHAR NOT NULL, patient_id VARCHAR NOT NULL,
    issuer VARCHAR NOT NULL, location VARCHAR NOT NULL, received BIGINT NOT NULL, PRIMARY KEY (sop_instance_uid)
);
CREATE INDEX IF NOT EXISTS ix_conflicts_study_instance_uid ON conflicts (study_instance_uid);
"""

_VERSION_2 = """
ALTER TABLE instances ADD COLUMN calling_ae_title VARCHAR;
ALTER TABLE instances ADD COLUMN called_ae_title VARCHAR;
ALTER TABLE instances ADD COLUMN peer_address VARCHAR;
ALTER TABLE instances ADD COLUMN digest VARCHAR;
CREATE INDEX ix_instances_received ON instances (received);
CREATE TABLE schema_version (version INTEGER NOT NULL);
INSERT INTO schema_version VALUES (2)
"""

_VERSION_3 = """
ALTER TABLE instances ADD COLUMN original_uid_hash VARCHAR;
CREATE INDEX ix_instances_original_uid_hash ON instances (original_uid_hash);
UPDATE schema_version SET version = 3
"""

_STEPS = (f"{_TABLES};{_VERSION_2}", _VERSION_3)
"""The first makes version 2, of nothing or of version 1; each other one the next version."""


def prepare(database: Database) -> None:
    """Make the tables of this version, or those that an earlier version lacks. Raises ValueError if they are of a newer
    version."""
    if _version(database) == VERSION:  # then readers need not wait for a writer
        return
    with database.writing():
        for step in _STEPS[_version(database) - 1 :]:
            for statement in step.split(";"):
                if statement.strip():
                    database.execute(statement)


def _version(database: Database) -> int:
    """1 also if there is nothing yet."""
    if not has_table(database, "schema_version"):
        return 1
    [(version,)] = database.execute("SELECT version FROM schema_version")
    if version > VERSION:
        raise ValueError(f"the index has version {version}, this dcmrecv-index knows versions up to {VERSION}")
    return int(version)


def has_table(database: Database, name: str) -> bool:
    if database.is_sqlite:
        return bool(
            database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :name", {"name": name})
        )
    [(found,)] = database.execute("SELECT to_regclass(:name)", {"name": name})
    return found is not None
