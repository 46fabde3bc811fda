"""From the queue into the database: once, in any order, whoever is killed when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import OperationalError

from dcmrecv_index import feeder
from dcmrecv_index.database import positions
from dcmrecv_index.feeder import Feeder
from dcmrecv_index.queue import QueueWriter, queue_files
from dcmrecv_index.record import Record
from dcmrecv_index.tables import Instance, Patient, QueuePosition

RECORD = Record("1.2.3", "1", "1", "/a", 10, 100, {"PatientID": "4711", "PatientName": "Doe"})


def locations(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        rows = connection.execute(select(Instance.sop_instance_uid, Instance.location))
        return {row.sop_instance_uid: row.location for row in rows}


def write(directory: Path, *records: Record) -> None:
    writer = QueueWriter(directory)
    for record in records:
        writer.append(record.to_line())
    writer.close()


def test_the_queue_is_empty_afterwards(engine: Engine, tmp_path: Path) -> None:
    write(tmp_path, RECORD, replace(RECORD, sop_instance_uid="1.2.4"))
    assert Feeder(engine, tmp_path).drain() == 2
    assert locations(engine) == {"1.2.3": "/a", "1.2.4": "/a"}
    assert queue_files(tmp_path) == []
    with engine.connect() as connection:
        assert positions(connection) == {}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("together", [True, False])
def test_the_latest_counts_in_any_order(engine: Engine, tmp_path: Path, order: tuple[int, ...], together: bool) -> None:
    later = replace(RECORD, location="/b", received=200, elements={"PatientID": "4711", "PatientName": "Smith"})
    records = [(RECORD, later)[number] for number in order]
    for batch in [records] if together else [[record] for record in records]:
        write(tmp_path, *batch)
        Feeder(engine, tmp_path).drain()
    assert locations(engine) == {"1.2.3": "/b"}
    with engine.connect() as connection:
        assert connection.scalars(select(Patient.patient_name)).all() == ["Smith"]


def test_lines_of_a_living_writer_are_read_once(engine: Engine, tmp_path: Path) -> None:
    """Also after a restart: what was pruned meanwhile must not come back."""
    writer = QueueWriter(tmp_path)
    writer.append(RECORD.to_line())
    assert Feeder(engine, tmp_path).drain() == 1
    writer.append(replace(RECORD, sop_instance_uid="1.2.4").to_line())
    restarted = Feeder(engine, tmp_path)
    assert restarted.drain() == 1
    assert restarted.drain() == 0
    assert len(locations(engine)) == 2


def test_a_commit_is_all_or_nothing(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between rows and positions; the next one does it all again."""
    write(tmp_path, RECORD)

    def killed(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(feeder, "set_positions", killed)
        with pytest.raises(SystemExit):
            Feeder(engine, tmp_path).drain()
    assert locations(engine) == {}
    assert Feeder(engine, tmp_path).drain() == 1
    assert locations(engine) == {"1.2.3": "/a"}


def test_killed_before_the_file_was_removed(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, RECORD)
    with monkeypatch.context() as patch:
        patch.setattr(Feeder, "_remove", lambda *_: None)
        assert Feeder(engine, tmp_path).drain() == 1
    assert Feeder(engine, tmp_path).drain() == 0
    assert queue_files(tmp_path) == []


def test_killed_before_the_position_was_forgotten(engine: Engine, tmp_path: Path) -> None:
    with engine.begin() as connection:
        connection.execute(QueuePosition.__table__.insert().values(name="gone.jsonl", position=7))  # type: ignore[attr-defined]
    Feeder(engine, tmp_path)
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(QueuePosition)) == 0


def test_unreadable_lines_are_skipped_and_said(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = QueueWriter(tmp_path)
    writer.append(b"rubbish\n")
    writer.append(RECORD.to_line())
    assert Feeder(engine, tmp_path).drain() == 1
    assert "rubbish" in caplog.text


def test_many_batches(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeder, "BATCH", 3)
    for start in (0, 5):
        write(tmp_path, *(replace(RECORD, sop_instance_uid=f"1.{number}") for number in range(start, start + 5)))
    assert Feeder(engine, tmp_path).drain() == 10
    assert len(locations(engine)) == 10


def test_a_database_that_is_down_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pauses: list[float] = []

    class EnoughError(Exception):
        pass

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 8:
            raise EnoughError

    def down(*_: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("connection refused\n\tIs it running?"))

    monkeypatch.setattr(feeder, "connect", down)
    monkeypatch.setattr(feeder.time, "sleep", sleep)
    with pytest.raises(EnoughError):
        feeder.feed("sqlite:////nowhere", tmp_path)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert caplog.messages[0] == "the database cannot be used, next try in 1 s: connection refused"
    assert all(record.exc_info is None for record in caplog.records)
