"""From the queue into the database: each record once, whichever process is killed at any point."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import OperationalError

from dcmrecv_index import feeder
from dcmrecv_index.database import positions
from dcmrecv_index.feeder import Feeder
from dcmrecv_index.queue import QueueWriter, moment, queue_files
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
        at = moment()
        writer.append(replace(record, moment=at).to_line(), at)
    writer.close()


def test_the_queue_is_empty_afterwards(engine: Engine, tmp_path: Path) -> None:
    write(tmp_path, RECORD, replace(RECORD, sop_instance_uid="1.2.4"))
    assert Feeder(engine, tmp_path).drain() == 2
    assert locations(engine) == {"1.2.3": "/a", "1.2.4": "/a"}
    assert queue_files(tmp_path) == []
    with engine.connect() as connection:
        assert positions(connection) == {}


@pytest.mark.parametrize("received", [200, 50], ids=["clock goes on", "clock was set back"])
@pytest.mark.parametrize("together", [True, False])
def test_fault_8_a_corrected_instance_replaces_the_one_before_it(
    engine: Engine, tmp_path: Path, received: int, together: bool
) -> None:
    elements = {"PatientID": "4711", "PatientName": "Smith"}
    records = [RECORD, replace(RECORD, location="/b", received=received, elements=elements)]
    for batch in [records] if together else [[record] for record in records]:
        write(tmp_path, *batch)
        Feeder(engine, tmp_path).drain()
    assert locations(engine) == {"1.2.3": "/b"}
    with engine.connect() as connection:
        assert connection.scalars(select(Patient.patient_name)).all() == ["Smith"]


@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_the_order_of_several_workers(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """Each writes to a file of its own; the file that was begun first has the record that was written last."""
    monkeypatch.setattr(feeder, "BATCH", batch)
    writers = QueueWriter(tmp_path), QueueWriter(tmp_path)
    for number, (writer, received) in enumerate([(0, 100), (1, 300), (1, 200), (0, 50)], start=1):
        record = replace(RECORD, location=f"/{number}", received=received, moment=number)
        writers[writer].append(record.to_line(), number)
    assert Feeder(engine, tmp_path).drain() == 4
    assert locations(engine) == {"1.2.3": "/4"}
    for writer in writers:
        writer.close()


def test_lines_of_the_version_before(engine: Engine, tmp_path: Path) -> None:
    """They have no moment, and are older than all others."""
    old = [replace(RECORD, location="/b", received=200), replace(RECORD, received=100)]
    for number, record in enumerate(old):
        line = json.dumps(json.loads(record.to_line())[:-1]).encode() + b"\n"
        (tmp_path / f"17{number}-77.jsonl").write_bytes(line)
    Feeder(engine, tmp_path).drain()
    assert locations(engine) == {"1.2.3": "/b"}
    (tmp_path / "1700-77.jsonl").write_bytes(line)
    write(tmp_path, replace(RECORD, location="/c", received=1))
    assert Feeder(engine, tmp_path).drain() == 2
    assert locations(engine) == {"1.2.3": "/c"}


def test_lines_of_a_living_writer_are_read_once(engine: Engine, tmp_path: Path) -> None:
    """After a restart, too: rows that were pruned meanwhile must not come back."""
    writer = QueueWriter(tmp_path)
    writer.append(RECORD.to_line())
    assert Feeder(engine, tmp_path).drain() == 1
    writer.append(replace(RECORD, sop_instance_uid="1.2.4").to_line())
    restarted = Feeder(engine, tmp_path)
    assert restarted.drain() == 1
    assert restarted.drain() == 0
    assert len(locations(engine)) == 2


def test_a_commit_is_all_or_nothing(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between rows and positions; the next feeder writes both."""
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


def test_another_queues_positions_are_its_own(engine: Engine, tmp_path: Path) -> None:
    """Two receivers feed one database: the start of one does not make the other one read its lines again."""
    writer = QueueWriter(tmp_path / "a")
    writer.append(RECORD.to_line())
    first = Feeder(engine, tmp_path / "a")
    assert first.drain() == 1
    write(tmp_path / "b", replace(RECORD, sop_instance_uid="1.2.4"))
    assert Feeder(engine, tmp_path / "b").drain() == 1
    assert first.drain() == Feeder(engine, tmp_path / "a").drain() == 0
    writer.close()


def test_a_feeder_that_was_overtaken_writes_nothing(engine: Engine, tmp_path: Path) -> None:
    """A stopped process may continue after another one took its place: its older records must not come back."""
    writer = QueueWriter(tmp_path)
    writer.append(replace(RECORD, moment=1).to_line(), 1)
    stopped = Feeder(engine, tmp_path)
    writer.append(replace(RECORD, location="/b", moment=2).to_line(), 2)
    assert Feeder(engine, tmp_path).drain() == 2
    assert stopped.drain() == 0
    assert locations(engine) == {"1.2.3": "/b"}
    writer.append(replace(RECORD, location="/c", moment=3).to_line(), 3)
    assert stopped.drain() == 1, "it continues after the other one"
    writer.close()


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
