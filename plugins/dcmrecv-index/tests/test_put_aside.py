"""Records that cannot be indexed are put aside and named, and later ones are indexed."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError, ProgrammingError, StatementError

from dcmrecv_core.testing import fake_instance, sample_dataset
from dcmrecv_index import database, feeder
from dcmrecv_index.commands import main
from dcmrecv_index.feeder import Feeder
from dcmrecv_index.put_aside import concerns_one_record
from dcmrecv_index.queue import PUT_ASIDE, QueueWriter, queue_files
from dcmrecv_index.record import Record, record_of
from dcmrecv_index.rows import Rows, rows_of
from dcmrecv_index.tables import Instance, Patient

RECORD = Record("1.2.3", "1", "1", "/a", 10, 100, {"PatientID": "4711", "PatientName": "Doe"})
POISON = "1.2.666"

NO_CHARACTER_SETS = [
    *("hex", "base64", "idna", "rot13", "zlib", "bz2", "UNDEFINED", "punycode", "unicode_escape", "utf-16", "mbcs"),
    *("NO SUCH SET", "I\0O_IR 100", "\u00ff\u00fe", "hex\\idna", "ISO_IR 100\\hex", "x" * 1024),
]


def fill(directory: Path, *lines: bytes) -> None:
    writer = QueueWriter(directory)
    for line in lines:
        writer.append(line)
    writer.close()


def indexed(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return sorted(connection.scalars(select(Instance.sop_instance_uid)))


def entries(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / PUT_ASIDE).read_text().splitlines()]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record of one instance cannot be decoded."""

    def fail(record: Record) -> Rows:
        if record.sop_instance_uid == POISON:
            raise LookupError("Doe^Jane cannot be decoded")
        return rows_of(record)

    monkeypatch.setattr(database, "rows_of", fail)


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize("place", [0, 1, 4, 7, 8])
def test_fault_7_a_record_that_cannot_be_decoded(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture, place: int
) -> None:
    records = [replace(RECORD, sop_instance_uid=f"1.{number}") for number in range(8)]
    records.insert(place, replace(RECORD, sop_instance_uid=POISON, location="/archive/poison"))
    fill(tmp_path, *(record.to_line() for record in records))
    assert Feeder(engine, tmp_path).drain() == 8
    assert indexed(engine) == [f"1.{number}" for number in range(8)]
    assert queue_files(tmp_path) == []
    [entry] = entries(tmp_path)
    assert Record.from_line(entry["line"].encode("latin-1")) == records[place]
    assert entry["error"] == "LookupError: Doe^Jane cannot be decoded"
    assert entry["time"].startswith("20")
    assert stat.S_IMODE((tmp_path / PUT_ASIDE).stat().st_mode) == 0o600
    [message] = caplog.messages
    assert message == (
        f"SOP instance {POISON} in file /archive/poison is not indexed: it cannot be decoded (LookupError); "
        f"put aside in {tmp_path / PUT_ASIDE}"
    )
    assert Feeder(engine, tmp_path).drain() == 0, "it is put aside once"
    assert len(entries(tmp_path)) == 1


BAD_LINES: dict[str, Callable[[], bytes]] = {
    "not JSON": lambda: b"rubbish\n",
    "not UTF-8": lambda: b"\xff\xfe\n",
    "nested too deeply": lambda: b"[" * 100_000 + b"\n",
    "a number that no column takes": lambda: replace(RECORD, sop_instance_uid=POISON, size=2**70).to_line(),
    "text that is no bytes": lambda: replace(RECORD, elements={"PatientID": "\u0416"}).to_line(),
    "a value that is no text": lambda: replace(RECORD, elements={"PatientID": 7}).to_line(),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
def test_lines_that_cannot_be_stored(
    engine: Engine, tmp_path: Path, line: Callable[[], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path, replace(RECORD, sop_instance_uid="1.1").to_line(), line(), RECORD.to_line())
    assert Feeder(engine, tmp_path).drain() == 2
    assert indexed(engine) == ["1.1", "1.2.3"]
    [entry] = entries(tmp_path)
    assert entry["line"].encode("latin-1") + b"\n" == line()
    assert len(caplog.messages) == 1


@pytest.mark.usefixtures("failing")
def test_a_database_that_goes_down_meanwhile_is_waited_for(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is put aside for it, and nothing is skipped."""
    lines = [replace(RECORD, sop_instance_uid=f"1.{number}").to_line() for number in range(4)]
    fill(tmp_path, *lines, replace(RECORD, sop_instance_uid=POISON).to_line())
    stores = 0
    real = feeder.upsert

    def upsert(*arguments: Any) -> Any:
        nonlocal stores
        stores += 1
        if stores == 3:
            raise OperationalError("INSERT", {}, Exception("the server is shutting down"))
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(feeder, "upsert", upsert)
        with pytest.raises(OperationalError):
            Feeder(engine, tmp_path).drain()
    assert indexed(engine) == ["1.0", "1.1"]
    assert not (tmp_path / PUT_ASIDE).exists()
    assert Feeder(engine, tmp_path).drain() == 2
    assert indexed(engine) == ["1.0", "1.1", "1.2", "1.3"]
    assert len(entries(tmp_path)) == 1


class RefusedError(Exception):
    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("error", "is_poison"),
    [
        (LookupError("hex"), True),
        (OverflowError(), True),
        (DataError("", {}, Exception()), True),
        (IntegrityError("", {}, Exception()), True),
        (OperationalError("", {}, RefusedError("54000")), True),
        (StatementError("", "", {}, TypeError()), True),
        (OperationalError("", {}, Exception("database is locked")), False),
        (OperationalError("", {}, RefusedError("57P01")), False),
        (OperationalError("", {}, RefusedError("53100")), False),
        (ProgrammingError("", {}, RefusedError("42P01")), False),
        (DBAPIError("", {}, Exception(), connection_invalidated=True), False),
        (DataError("", {}, Exception(), connection_invalidated=True), False),
        (OSError(28, "No space left on device"), False),
        (MemoryError(), False),
    ],
    ids=repr,
)
def test_what_concerns_one_record_only(error: Exception, is_poison: bool) -> None:
    assert concerns_one_record(error) == is_poison


@pytest.mark.parametrize("character_set", NO_CHARACTER_SETS, ids=lambda value: repr(value[:20]))
def test_fault_7_character_sets_that_are_none(
    engine: Engine, tmp_path: Path, character_set: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The default repertoire is meant, and bytes that it does not have stay apart."""
    elements = {"SpecificCharacterSet": character_set, "PatientID": "J\u00fcrg", "PatientName": "\x1b$B;3J\u00fcrg"}
    fill(tmp_path, replace(RECORD, elements=elements).to_line())
    assert Feeder(engine, tmp_path).drain() == 1
    with engine.connect() as connection:
        [(patient_id, name)] = connection.execute(select(Patient.patient_id, Patient.patient_name))
    assert patient_id == "J\u00fcrg"
    assert name.endswith("J\u00fcrg")
    assert caplog.messages == []


@pytest.mark.parametrize("character_set", NO_CHARACTER_SETS, ids=lambda value: repr(value[:20]))
def test_a_rescan_reads_them_too(tmp_path: Path, character_set: str, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(action="ignore"):  # of its length
        dataset = sample_dataset(PatientName="Jane", SpecificCharacterSet="X" * len(character_set))
    path = Path(fake_instance(dataset, output_directory=tmp_path).save("x"))
    path.write_bytes(path.read_bytes().replace(b"X" * len(character_set), character_set.encode("latin-1"), 1))
    assert main(["rescan", str(tmp_path)]) == 0
    assert capsys.readouterr() == ("1 instances found, 0 pruned\n", "")
    assert main(["find", "--directory", str(tmp_path), "--patient-name", "Jane", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1


def broken_file(directory: Path) -> Path:
    """A file that breaks off in its File Meta Information, within a UID."""
    path = Path(fake_instance(sample_dataset(SOPInstanceUID="1.4"), output_directory=directory).save("broken"))
    path.write_bytes(path.read_bytes()[:200])
    return path


@pytest.mark.usefixtures("failing")
def test_fault_7_a_rescan_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for uid in ("1.1", POISON, "1.3"):
        fake_instance(sample_dataset(SOPInstanceUID=uid), output_directory=tmp_path).save(uid)
    broken = broken_file(tmp_path)
    assert main(["rescan", str(tmp_path)]) == 1
    assert capsys.readouterr().out == "2 instances found, 0 pruned, 2 files could not be indexed\n"
    unread, undecoded = sorted(caplog.messages, key=lambda message: "cannot be read" not in message)
    assert unread.startswith(f"{broken}: cannot be read: ")
    assert undecoded.startswith(f"{tmp_path / POISON}: SOP instance {POISON} is not indexed: it cannot be decoded")
    assert main(["find", "--directory", str(tmp_path), "--level", "instance", "--json"]) == 0
    assert [row["sop_instance_uid"] for row in json.loads(capsys.readouterr().out)] == ["1.1", "1.3"]


def test_names_cannot_drive_the_terminal(tmp_path: Path) -> None:
    broken_file(tmp_path).rename(tmp_path / "broken\x1b[31m")
    code = "from dcmrecv_index.commands import main; raise SystemExit(main())"
    command = [sys.executable, "-c", code, "rescan", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{tmp_path}/broken?[31m: cannot be read: ")


def test_hook_and_rescan_note_the_same(tmp_path: Path) -> None:
    """Records of the queue have a moment, so that their order is known."""
    assert record_of(fake_instance(), "/x", 1, 7).moment == 7
    assert Record.from_line(record_of(fake_instance(), "/x", 1, 7).to_line()).moment == 7
