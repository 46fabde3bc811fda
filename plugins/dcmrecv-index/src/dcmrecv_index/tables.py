"""The tables. Keys are DICOM's own, so that each row can be written again without harm.

All columns are text as it was sent, except numbers, sizes and the time of reception. Dates are text, too: YYYYMMDD
sorts correctly, and senders write other forms. An empty string means that nothing was sent.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Patient(Base):
    """ID and issuer identify a patient: two hospitals may use the same ID."""

    __tablename__ = "patients"

    patient_id: Mapped[str] = mapped_column(primary_key=True)
    issuer: Mapped[str] = mapped_column(primary_key=True)
    patient_name: Mapped[str] = mapped_column(index=True)
    birth_date: Mapped[str]
    sex: Mapped[str]
    received: Mapped[int] = mapped_column(BigInteger)


class Study(Base):
    __tablename__ = "studies"
    __table_args__ = (
        ForeignKeyConstraint(["patient_id", "issuer"], ["patients.patient_id", "patients.issuer"]),
        Index("ix_studies_patient", "patient_id", "issuer"),
    )

    study_instance_uid: Mapped[str] = mapped_column(primary_key=True)
    patient_id: Mapped[str]
    issuer: Mapped[str]
    study_date: Mapped[str] = mapped_column(index=True)
    study_time: Mapped[str]
    accession_number: Mapped[str] = mapped_column(index=True)
    study_id: Mapped[str]
    study_description: Mapped[str]
    referring_physician: Mapped[str]
    received: Mapped[int] = mapped_column(BigInteger)


class Series(Base):
    __tablename__ = "series"

    series_instance_uid: Mapped[str] = mapped_column(primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(ForeignKey("studies.study_instance_uid"), index=True)
    modality: Mapped[str]
    series_number: Mapped[int | None]
    series_date: Mapped[str]
    series_description: Mapped[str]
    body_part: Mapped[str]
    received: Mapped[int] = mapped_column(BigInteger)


class Instance(Base):
    """`received`, as above, in nanoseconds since the epoch; `size` in bytes of the data set."""

    __tablename__ = "instances"

    sop_instance_uid: Mapped[str] = mapped_column(primary_key=True)
    series_instance_uid: Mapped[str] = mapped_column(ForeignKey("series.series_instance_uid"), index=True)
    sop_class_uid: Mapped[str]
    transfer_syntax_uid: Mapped[str]
    instance_number: Mapped[int | None]
    location: Mapped[str] = mapped_column(index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    received: Mapped[int] = mapped_column(BigInteger)


class Conflict(Base):
    """An instance that names the study of another patient, or the series of another study. `study_instance_uid`,
    `patient_id` and `issuer` are what it says itself; the tables above have the study and patient it is filed under.

    No foreign keys: rows of the other tables can be deleted without regard to this one.
    """

    __tablename__ = "conflicts"

    sop_instance_uid: Mapped[str] = mapped_column(primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(index=True)
    patient_id: Mapped[str]
    issuer: Mapped[str]
    location: Mapped[str]
    received: Mapped[int] = mapped_column(BigInteger)


class QueuePosition(Base):
    """How much of a queue file is in the database: written together with its rows, so that no line counts twice."""

    __tablename__ = "queue_positions"

    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger)
