"""Events into the database: each durable when `deliver` returns, whatever happens to the database meanwhile."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core import PluginError, PluginSettings, StoredEvent, TryAgain, Undeliverable
from dcmrecv_core.testing import fake_association, fake_event, fake_instance, sample_dataset
from dcmrecv_index import IndexPlugin, database, deliveries, write
from dcmrecv_index.commands import main
from dcmrecv_index.database import Database, DatabaseError, RefusedError, connect
from dcmrecv_index.record import Record
from dcmrecv_index.rows import Rows, rows_of

POISON = "1.2.666"

NO_CHARACTER_SETS = [
    *("hex", "base64", "idna", "rot13", "zlib", "bz2", "UNDEFINED", "punycode", "unicode_escape", "utf-16", "mbcs"),
    *("NO SUCH SET", "I\0O_IR 100", "\u00ff\u00fe", "hex\\idna", "ISO_IR 100\\hex", "x" * 1024),
]


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[IndexPlugin]:
    """In a delivery process of a receiver with the state directory `.dcmrecv` below `tmp_path`."""
    plugin = IndexPlugin()
    plugin.delivery_started(PluginSettings(options={"index_url": None}, state_directory=tmp_path / ".dcmrecv"))
    yield plugin
    plugin.delivery_stopping()


def rows(tmp_path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(connect(tmp_path / ".dcmrecv" / "index.sqlite")) as database:
        return database.execute(query)


INSTANCES = "SELECT sop_instance_uid, location FROM instances ORDER BY 1"


def test_who_sent_it_when(plugin: IndexPlugin, tmp_path: Path) -> None:
    association = fake_association(calling_ae_title="CT1", called_ae_title="ARCHIVE", peer_address="192.0.2.9")
    event = fake_event(association=association, output_directory=tmp_path, digest="sha256:4711")
    plugin.deliver_many([event], "default")
    [row] = rows(
        tmp_path, "SELECT calling_ae_title, called_ae_title, peer_address, digest, size, location FROM instances"
    )
    assert row == ("CT1", "ARCHIVE", "192.0.2.9", "sha256:4711", event.size, event.location)


@pytest.mark.parametrize("how", ["new", "replaced", "kept"])
def test_an_event_that_comes_twice_is_one_instance(plugin: IndexPlugin, tmp_path: Path, how: Any) -> None:
    event = fake_event(output_directory=tmp_path, how=how)
    for _ in range(2):
        plugin.deliver_many([event], "default")
    assert rows(tmp_path, INSTANCES) == [(event.sop_instance_uid, event.location)]


@pytest.mark.parametrize("hours", [1, -1], ids=["clock goes on", "clock was set back"])
def test_fault_8_a_corrected_instance_replaces_the_one_before_it(
    plugin: IndexPlugin, tmp_path: Path, hours: int
) -> None:
    first = fake_event(sample_dataset(PatientName="Doe"), output_directory=tmp_path / "a")
    assert first.received_at is not None
    moment = first.received_at.timestamp() + 3600 * hours
    again = fake_event(sample_dataset(PatientName="Smith"), received_at=first.received_at.fromtimestamp(moment))
    plugin.deliver_many([first], "default")
    plugin.deliver_many([replace(again, location="/b")], "default")
    assert rows(tmp_path, INSTANCES) == [(first.sop_instance_uid, "/b")]
    assert rows(tmp_path, "SELECT patient_name FROM patients") == [("Smith",)]


def recovered(event: StoredEvent, **fields: Any) -> StoredEvent:
    """As it comes after a power cut."""
    unknown = ("calling_ae_title", "called_ae_title", "peer_address", "association_id", "received_at")
    return replace(event, recovered=True, **dict.fromkeys(unknown), **fields)


def test_after_a_power_cut_the_sender_is_not_known(plugin: IndexPlugin, tmp_path: Path) -> None:
    """The instance has come again, perhaps from another sender."""
    event = fake_event(received_at=datetime.fromtimestamp(100, UTC))
    plugin.deliver_many([event], "default")
    again = fake_event(output_directory=tmp_path)
    os.utime(again.location, (200, 200))
    plugin.deliver_many([recovered(again)], "default")
    assert rows(tmp_path, "SELECT location, calling_ae_title, received FROM instances") == [
        (again.location, None, 200 * 10**9)
    ]


def test_what_came_since_a_power_cut_is_later_than_what_is_recovered(plugin: IndexPlugin, tmp_path: Path) -> None:
    old = fake_event(output_directory=tmp_path)
    os.utime(old.location, (200, 200))
    since = fake_event(received_at=datetime.fromtimestamp(300, UTC), location="/since")
    plugin.deliver_many([since], "default")
    plugin.deliver_many([recovered(old)], "default")
    assert rows(tmp_path, INSTANCES) == [(old.sop_instance_uid, "/since")]


def test_without_its_file_an_instance_blanks_nothing(plugin: IndexPlugin, tmp_path: Path) -> None:
    """It is in the index, and `rescan` completes it; what others say of patient, study and series stays."""
    known = fake_event(sample_dataset(SOPInstanceUID="1.1", PatientName="Doe"))
    plugin.deliver_many([known], "default")
    gone = fake_event(sample_dataset(SOPInstanceUID="1.2"), output_directory=tmp_path)
    Path(gone.location).unlink()
    plugin.deliver_many([gone], "default")
    stray = fake_event(sample_dataset(SOPInstanceUID="1.1", PatientID="B"), output_directory=tmp_path, patient_id="B")
    Path(stray.location).unlink()
    plugin.deliver_many([stray], "default")
    assert rows(tmp_path, "SELECT patient_name, patient_id FROM patients ORDER BY 2") == [("Doe", "4711"), ("", "B")]
    assert [key for key, _ in rows(tmp_path, INSTANCES)] == ["1.1", "1.2"]
    assert rows(tmp_path, "SELECT patient_id, study_date FROM studies") == [("4711", "20200102")]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record of one instance cannot be decoded."""

    def fail(record: Record) -> Rows:
        if record.sop_instance_uid == POISON:
            raise LookupError("Doe^Jane cannot be decoded")
        return rows_of(record)

    monkeypatch.setattr(write, "rows_of", fail)


@pytest.mark.usefixtures("failing")
def test_fault_7_an_instance_that_cannot_be_decoded_holds_up_no_other(plugin: IndexPlugin, tmp_path: Path) -> None:
    """The core puts it aside, and names it; the reason has no values."""
    with pytest.raises(Undeliverable, match=r"^it cannot be decoded \(LookupError\)$"):
        plugin.deliver_many([fake_event(sample_dataset(SOPInstanceUID=POISON))], "default")
    plugin.deliver_many([fake_event(sample_dataset(SOPInstanceUID="1.1"))], "default")
    assert [key for key, _ in rows(tmp_path, INSTANCES)] == ["1.1"]


def test_a_file_that_breaks_the_reader_holds_up_no_other(plugin: IndexPlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(event: StoredEvent) -> Record:
        raise RecursionError

    monkeypatch.setattr(deliveries, "record_of_event", fail)
    with pytest.raises(Undeliverable, match="RecursionError"):
        plugin.deliver_many([fake_event()], "default")


def test_a_number_that_no_column_takes(plugin: IndexPlugin, tmp_path: Path) -> None:
    with pytest.raises(Undeliverable, match="OverflowError"):
        plugin.deliver_many([fake_event(size=2**70)], "default")
    assert rows(tmp_path, "SELECT * FROM patients") == []


@pytest.mark.parametrize("character_set", NO_CHARACTER_SETS, ids=lambda value: repr(value[:20]))
def test_fault_7_character_sets_that_are_none(plugin: IndexPlugin, tmp_path: Path, character_set: str) -> None:
    """The default repertoire is meant, and bytes that it does not have stay apart. By event, and by rescan."""
    with warnings.catch_warnings(action="ignore"):  # of its length
        dataset = sample_dataset(PatientID=b"J\xfcrg", SpecificCharacterSet="X" * len(character_set))
        event = fake_event(dataset, output_directory=tmp_path)
    path = Path(event.location)
    path.write_bytes(path.read_bytes().replace(b"X" * len(character_set), character_set.encode("latin-1"), 1))
    plugin.deliver_many([event], "default")
    patients = rows(tmp_path, "SELECT patient_id, patient_name FROM patients")
    assert patients == [("J\u00fcrg", "Doe^Jane")]
    assert main(["rescan", str(tmp_path)]) == 0
    assert rows(tmp_path, "SELECT patient_id, patient_name FROM patients") == patients


class Refusal(sqlite3.OperationalError):
    sqlstate: str | None = None


def refusal(sqlstate: str) -> Refusal:
    error = Refusal("refused")
    error.sqlstate = sqlstate
    return error


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (sqlite3.DataError(), RefusedError),
        (sqlite3.IntegrityError(), RefusedError),
        (refusal("54000"), RefusedError),
        (refusal("22003"), RefusedError),
        (refusal("57P01"), DatabaseError),
        (refusal("53100"), DatabaseError),
        (sqlite3.OperationalError("database is locked"), DatabaseError),
        (sqlite3.ProgrammingError(), DatabaseError),
    ],
    ids=repr,
)
def test_what_concerns_one_record_only(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception, raised: type[Exception]
) -> None:
    class Connection:
        def execute(self, *_: object) -> None:
            raise error

    with closing(database._connection):
        monkeypatch.setattr(database, "_connection", Connection())
        with pytest.raises(raised):
            database.execute("SELECT 1")
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(28, "No space left on device"), OSError),
        (MemoryError(), MemoryError),
        (DatabaseError("is locked"), TryAgain),
    ],
)
def test_other_failures_are_tried_again(
    plugin: IndexPlugin, monkeypatch: pytest.MonkeyPatch, error: Exception, raised: type[Exception]
) -> None:
    def fail(record: Record) -> Rows:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(write, "rows_of", fail)
        with pytest.raises(raised):
            plugin.deliver_many([fake_event()], "default")
    plugin.deliver_many([fake_event()], "default")


def test_a_connection_that_was_lost_is_opened_again(
    plugin: IndexPlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin.deliver_many([fake_event(sample_dataset(SOPInstanceUID="1.1"))], "default")
    opened: list[Database] = []

    def connected(where: str | Path) -> Database:
        opened.append(connect(where))
        return opened[-1]

    monkeypatch.setattr(deliveries, "connect", connected)
    assert plugin._deliveries is not None
    assert plugin._deliveries._database is not None
    plugin._deliveries._database.close()
    with pytest.raises(TryAgain, match="the database cannot be used: "):
        plugin.deliver_many([fake_event(sample_dataset(SOPInstanceUID="1.2"))], "default")
    for number in (2, 3):
        plugin.deliver_many([fake_event(sample_dataset(SOPInstanceUID=f"1.{number}"))], "default")
    assert len(opened) == 1
    assert [key for key, _ in rows(tmp_path, INSTANCES)] == ["1.1", "1.2", "1.3"]


def test_many_events_are_one_transaction(plugin: IndexPlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [fake_event(sample_dataset(SOPInstanceUID=f"1.{number}")) for number in range(3)]
    poison = fake_event(sample_dataset(SOPInstanceUID="1.9"))

    def refused(record: Record) -> Rows:
        if record.sop_instance_uid == poison.sop_instance_uid:
            raise ValueError("no such date")
        return rows_of(record)

    monkeypatch.setattr(write, "rows_of", refused)
    with pytest.raises(Undeliverable):
        plugin.deliver_many([*events, poison], "default")
    assert rows(tmp_path, INSTANCES) == []
    again = replace(events[0], location="/again")
    plugin.deliver_many([*events, again], "default")
    assert dict(rows(tmp_path, INSTANCES))["1.0"] == "/again"
    assert [key for key, _ in rows(tmp_path, INSTANCES)] == ["1.0", "1.1", "1.2"]


def test_an_interrupted_event_changes_nothing(
    plugin: IndexPlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver ends between two statements; the event comes again."""

    def stopped(*_: object, **__: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(write.conflicts, "contradiction", stopped)
        with pytest.raises(SystemExit):
            plugin.deliver_many([fake_event()], "default")
    assert rows(tmp_path, INSTANCES) == rows(tmp_path, "SELECT patient_id FROM patients") == []
    plugin.deliver_many([fake_event()], "default")


def test_a_commit_is_durable(database: Database) -> None:
    """A power cut takes nothing that was delivered: 2 is FULL."""
    assert database.execute("PRAGMA synchronous") == [(2,)]
    assert database.execute("PRAGMA journal_mode") == [("wal",)]


def test_passwords_and_values_are_in_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatabaseError) as caught:
        connect("postgresql://user:SECRET@/index?host=/nowhere")
    assert "SECRET" not in str(caught.value)
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(database, "import_module", lambda name: __import__("no_such_module"))
    settings = PluginSettings(options={"index_url": "postgresql://user:SECRET@host/index"}, state_directory=tmp_path)
    with pytest.raises(PluginError, match=r"install dcmrecv-index\[postgresql\]") as refused:
        IndexPlugin().configure(settings)
    assert "SECRET" not in str(refused.value)


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
    assert [key for key, _ in rows(tmp_path, INSTANCES)] == ["1.1", "1.3"]


def test_names_cannot_drive_the_terminal(tmp_path: Path) -> None:
    broken_file(tmp_path).rename(tmp_path / "broken\x1b[31m")
    code = "from dcmrecv_index.commands import main; raise SystemExit(main())"
    command = [sys.executable, "-c", code, "rescan", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{tmp_path}/broken?[31m: cannot be read: ")
