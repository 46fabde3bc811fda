"""An output directory with its index, as a receiver would have made them, and the rounds of retention in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core import StoredEvent
from dcmrecv_core.testing import fake_event, sample_dataset
from dcmrecv_index.database import connect, index_file
from dcmrecv_index.deliveries import Deliveries
from dcmrecv_index.studies import studies_by_age
from dcmrecv_retention import rounds
from dcmrecv_retention.limits import Limits
from dcmrecv_retention.rounds import Rounds


class Archive:
    """`unfinished` and `requested` are what the receiver and commitments say; `meanwhile` is called when retention
    waits."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.output = directory
        self.state = directory / ".dcmrecv"
        self.state.mkdir()
        self.index = Deliveries(index_file(self.state), self.state)
        self.unfinished: Collection[str] = ()
        self.requested: Collection[str] = ()
        self.meanwhile: Callable[[], object] = lambda: None
        self.waits: list[float] = []
        monkeypatch.setattr(rounds, "unfinished_studies", lambda state: frozenset(self.unfinished))
        monkeypatch.setattr(rounds, "requested_instances", lambda *_: frozenset(self.requested))

    def close(self) -> None:
        self.index.close()

    def store(self, uid: str, *, study: str = "1.2", days: float = 0, indexed: bool = True, **told: Any) -> StoredEvent:
        """An instance that came so many days ago, with its file and in the index."""
        dataset = sample_dataset(
            SOPInstanceUID=uid, StudyInstanceUID=study, SeriesInstanceUID=f"1.9.{study}".rstrip(".")
        )
        at = datetime.now(UTC) - timedelta(days=days)
        event = fake_event(dataset, output_directory=self.output, received_at=at, **told)
        os.utime(event.location, (at.timestamp(), at.timestamp()))
        if indexed:
            self.index.index([event])
        return event

    def rounds(self, *, keep_days: int | None = None, delete: bool = True, **limits: Any) -> Rounds:
        def wait(seconds: float) -> None:
            self.waits.append(seconds)
            self.meanwhile()

        return Rounds(
            index_file(self.state), self.output, self.state, Limits(keep_days, **limits), delete=delete, wait=wait
        )

    def once(self, **settings: Any) -> bool:
        """One round; whether it has removed anything."""
        with self.rounds(**settings) as made:
            return made.round()

    def recover(self) -> None:
        """What the next start does first."""
        with self.rounds() as made:
            made._removal.recover(made._database)

    @property
    def files(self) -> list[str]:
        return sorted(path.name.removesuffix(".dcm") for path in self.output.iterdir() if path.is_file())

    @property
    def aside(self) -> list[str]:
        return sorted(os.listdir(self.state / "retention")) if (self.state / "retention").exists() else []

    @property
    def indexed(self) -> list[str]:
        database = connect(index_file(self.state))
        try:
            return sorted(uid for (uid,) in database.execute("SELECT sop_instance_uid FROM instances"))
        finally:
            database.close()

    @property
    def studies(self) -> list[str]:
        database = connect(index_file(self.state))
        try:
            return [study.study_instance_uid for study in studies_by_age(database)]
        finally:
            database.close()
