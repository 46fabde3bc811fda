"""After a power cut: which stored files get a record."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core.delivery import keeper, recovery
from dcmrecv_core.delivery.journal import JournalReader
from dcmrecv_core.delivery.keeper import Keeper
from dcmrecv_core.delivery.recovery import SETTLED, SLACK, Recovery, note_start
from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.delivery.store import Queue
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.storage.journals.files import JournalWriter
from dcmrecv_core.storage.journals.records import Kind
from dcmrecv_core.testing import fake_instance, sample_dataset, until
from support.deliveries import event

INDEX = Queue("index", "default")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "out" / ".dcmrecv").mkdir(parents=True)
    return Settings(output_directory="out", working_directory=str(tmp_path))


@pytest.fixture
def store(settings: Settings) -> Iterator[SqliteStore]:
    made = SqliteStore.open(str(settings.state_directory))
    made.begin([INDEX], 0)
    yield made
    made.close()


def stored(settings: Settings, path: str, uid: str) -> Path:
    """A file as a receiver stores it."""
    instance = fake_instance(
        sample_dataset(SOPInstanceUID=uid), output_directory=Path(settings.working_directory, "out")
    )
    return Path(instance.save(path))


def recovered(settings: Settings, store: SqliteStore, since: float, until: float = float("inf")) -> dict[str, str]:
    """UID by location of what gets a record."""
    writer = JournalWriter(str(settings.state_directory / "journal"))
    recovery = Recovery(settings, store, writer, since, until)
    turns = 0
    while not recovery.turn():
        turns += 1
    assert turns >= SETTLED
    writer.close()
    reader = JournalReader(str(settings.state_directory / "journal"), store.files())
    records = [each.record for each in reader.read(1 << 62).events]
    reader.close()
    assert {each.kind for each in records} <= {Kind.RECOVERED}
    return {each.location.decode(): each.sop_instance_uid.decode() for each in records}


def test_new_files_without_a_record_are_found(settings: Settings, store: SqliteStore) -> None:
    stored(settings, "a/b/1", "1.1")
    stored(settings, "2", "1.2")
    stored(settings, "known", "1.3")
    store.take_in([event("e1", location="out/known")], {}, 0, 0.0)
    assert recovered(settings, store, time.time() - SLACK) == {"out/a/b/1": "1.1", "out/2": "1.2"}


def test_the_record_has_what_the_file_has(settings: Settings, store: SqliteStore) -> None:
    path = stored(settings, "1", "1.1")
    recovered(settings, store, 0.0)
    reader = JournalReader(str(settings.state_directory / "journal"), {})
    [found] = reader.read(1 << 62).events
    reader.close()
    expected = sample_dataset()
    got = found.record
    assert got.study_instance_uid.rstrip(b"\0").decode() == expected.StudyInstanceUID
    assert got.series_instance_uid.rstrip(b"\0").decode() == expected.SeriesInstanceUID
    assert got.patient_id.strip() == b"4711"
    assert got.sop_class_uid.decode() == expected.SOPClassUID
    assert got.transfer_syntax_uid.decode() == expected.file_meta.TransferSyntaxUID
    assert 0 < got.size < path.stat().st_size
    assert (got.calling_ae_title, got.association_id, got.received) == (b"", b"", 0)


def test_older_and_later_files_are_not_looked_at(settings: Settings, store: SqliteStore) -> None:
    stored(settings, "1", "1.1")
    assert recovered(settings, store, time.time() + 60) == {}
    assert recovered(settings, store, 0.0, time.time() - 60) == {}


def test_what_is_no_whole_file_is_left_out(
    settings: Settings, store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    whole = stored(settings, "1", "1.1")
    data = whole.read_bytes()
    out = whole.parent
    (out / "torn").write_bytes(data[:-5])
    (out / "text").write_text("no DICOM file")
    (out / ".dcmrecv-0123456789abcdef-1.tmp").write_bytes(data)
    (out / "link").symlink_to(whole)
    os.mkfifo(out / "fifo")
    (out / "a").mkdir()
    (out / "a" / "loop").symlink_to(out / "a")
    assert recovered(settings, store, 0.0) == {"out/1": "1.1"}
    assert "out/torn is no whole DICOM file" in caplog.text


def test_directories_of_an_administrator_are_looked_at(settings: Settings, store: SqliteStore, tmp_path: Path) -> None:
    (tmp_path / "other disk").mkdir()
    (tmp_path / "out" / "ct").symlink_to(tmp_path / "other disk")
    stored(settings, "ct/1", "1.1")
    foreign = tmp_path / "out" / "foreign"
    foreign.symlink_to(tmp_path / "other disk")
    os.lchown(foreign, 12345, 12345)
    assert recovered(settings, store, 0.0) == {"out/ct/1": "1.1"}


def test_what_is_removed_meanwhile_hides_nothing_else(
    settings: Settings, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "PART", -1.0)  # one file in a turn
    paths = {f"out/{number}": stored(settings, str(number), f"1.{number}") for number in range(9)}
    writer = JournalWriter(str(settings.state_directory / "journal"))
    search = Recovery(settings, store, writer, 0.0, float("inf"))
    assert not search.turn()
    removed = next(location for location in paths if location not in search._found)
    paths[removed].unlink()
    while search._turns == 0:
        assert not search.turn()
    writer.close()
    assert set(search._found) == paths.keys() - {removed}


def test_a_link_in_a_circle_hides_nothing_else(settings: Settings, store: SqliteStore, tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / "out" / f"link{number}").symlink_to(f"link{number}")
    stored(settings, "1", "1.1")
    assert recovered(settings, store, 0.0) == {"out/1": "1.1"}


class Unreadable:
    """Directories that fail as those of a broken disk, until `names` is empty."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)
        self.tried: list[str] = []
        self._scandir = os.scandir

    def __call__(self, path: str) -> Any:
        self.tried.append(path)
        if os.path.basename(os.path.normpath(path)) in self.names:
            raise OSError(5, "Input/output error", path)
        return self._scandir(path)


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> Unreadable:
    made = Unreadable("b")
    monkeypatch.setattr(os, "scandir", made)
    monkeypatch.setattr(recovery, "AGAIN", 0.0)
    return made


def test_a_directory_that_cannot_be_read_is_looked_at_again(
    settings: Settings, store: SqliteStore, unreadable: Unreadable, caplog: pytest.LogCaptureFixture
) -> None:
    stored(settings, "a/b/c/1", "1.1")
    stored(settings, "a/2", "1.2")
    writer = JournalWriter(str(settings.state_directory / "journal"))
    search = Recovery(settings, store, writer, 0.0, float("inf"))
    reader = JournalReader(str(settings.state_directory / "journal"), store.files())
    while sum(path.endswith("b") for path in unreadable.tried) < 3:
        assert not search.turn()
    [first] = reader.read(1 << 62).events
    assert first.record.location == b"out/a/2", "what can be read is found meanwhile"
    assert caplog.text.count("Input/output error") == 1
    unreadable.names.clear()
    while not search.turn():
        continue
    assert [each.record.location for each in reader.read(1 << 62).events] == [b"out/a/b/c/1"]
    assert len([path for path in unreadable.tried if path.endswith("a")]) == 1, "only what could not be read"
    reader.close()
    writer.close()


def test_the_next_process_goes_on_with_what_could_not_be_read(
    settings: Settings, store: SqliteStore, unreadable: Unreadable
) -> None:
    stored(settings, "a/b/1", "1.1")
    stored(settings, "2", "1.2")
    writer = JournalWriter(str(settings.state_directory / "journal"))
    search = Recovery(settings, store, writer, 0.0, float("inf"))
    while not search._again_at:
        assert not search.turn()
    writer.close()
    unreadable.names.clear()
    unreadable.tried.clear()
    assert recovered(settings, store, 0.0) == {"out/2": "1.2", "out/a/b/1": "1.1"}
    assert len(unreadable.tried) == 1
    recovered(settings, store, 0.0)
    assert len(unreadable.tried) > 2, "another power cut asks for all of it"


def test_another_content_in_the_place_of_a_recorded_one_is_found(settings: Settings, store: SqliteStore) -> None:
    path = stored(settings, "1", "1.1")
    kept = stored(settings, "2", "1.2")
    store.take_in([event("e1", location="out/1"), event("e2", location="out/2")], {}, 0, 0.0)
    kept.chmod(0o600)
    os.utime(path, (time.time() + 5, time.time() + 5))
    assert recovered(settings, store, 0.0) == {"out/1": "1.1"}


def test_what_is_stored_meanwhile_is_not_recorded_twice(settings: Settings, store: SqliteStore) -> None:
    stored(settings, "1", "1.1")
    writer = JournalWriter(str(settings.state_directory / "journal"))
    recovery = Recovery(settings, store, writer, 0.0, float("inf"))
    assert not recovery.turn()
    store.take_in([event("e1", location="out/1")], {}, 0, 0.0)
    while not recovery.turn():
        continue
    assert list((settings.state_directory / "journal").glob("*")) == []
    writer.close()


def test_without_room_it_goes_on_later(
    settings: Settings, store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stored(settings, "1", "1.1")
    writer = JournalWriter(str(settings.state_directory / "journal"))
    recovery = Recovery(settings, store, writer, 0.0, float("inf"))

    def full(fd: int, offset: int, length: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        for _ in range(SETTLED + 3):
            assert keeper._goes_on(recovery)
    assert "stored files cannot be recovered yet" in caplog.text
    assert not keeper._goes_on(recovery)
    reader = JournalReader(str(settings.state_directory / "journal"), {})
    assert len(reader.read(1 << 62).events) == 1
    reader.close()
    writer.close()


def searched(settings: Settings, store: SqliteStore, now: float = 9000.0) -> tuple[float, float] | None:
    """What is searched after the next start."""
    note_start(store, now)
    writer = JournalWriter(str(settings.state_directory / "journal"))
    found = keeper._recovery(settings, store, writer)
    return None if found is None else (found._since, found._until)


def test_it_is_searched_once_after_another_boot(settings: Settings, store: SqliteStore) -> None:
    assert searched(settings, store) is None, "the first start of all"
    store.take_in([], {}, 0, 5000.0)
    assert searched(settings, store) is None, "the same boot"
    store.note("boot", "another")
    assert searched(settings, store) == (5000.0 - SLACK, float("inf"))
    store.take_in([], {}, 0, 9000.0)
    assert searched(settings, store) == (5000.0 - SLACK, float("inf")), "the first search was not finished"
    store.note("searched since", None)
    assert searched(settings, store) is None


def test_a_power_cut_right_after_the_first_start(settings: Settings, store: SqliteStore) -> None:
    """The journal process has not even begun."""
    searched(settings, store, now=5000.0)
    store.note("boot", "another")
    assert searched(settings, store) == (5000.0 - SLACK, float("inf"))


def test_after_a_clean_end_later_files_are_not_ours(settings: Settings, store: SqliteStore) -> None:
    """They were stored by a receiver that delivers nothing, perhaps for months."""
    searched(settings, store)
    store.take_in([], {}, 0, 5000.0)
    store.note("stopped", "5001.0")
    store.note("boot", "another")
    assert searched(settings, store) == (5000.0 - SLACK, 5001.0 + SLACK)
    assert store.noted("stopped") is None, "from now on there are new ones"


def test_a_power_cut_during_a_search_after_a_clean_end(settings: Settings, store: SqliteStore) -> None:
    """What was stored between the two boots is looked for, too."""
    searched(settings, store)
    store.take_in([], {}, 0, 5000.0)
    store.note("stopped", "5001.0")
    store.note("boot", "another")
    searched(settings, store)
    store.take_in([], {}, 0, 9000.0)
    store.note("boot", "a third")
    assert searched(settings, store) == (5000.0 - SLACK, float("inf"))


def test_a_reload_is_no_end(settings: Settings, store: SqliteStore) -> None:
    searched(settings, store)
    store.note("stopped", "5001.0")
    running: list[str | None] = []

    def should_stop() -> bool:
        running.append(store.noted("stopped"))
        return True

    keeper.run(settings, [INDEX], should_stop)
    assert running[0] is None
    assert store.noted("stopped") is not None


def test_a_recovered_event_takes_the_usual_way(settings: Settings, store: SqliteStore) -> None:
    stored(settings, "1", "1.1")
    recovered(settings, store, 0.0)
    keeper = Keeper(store, JournalReader(str(settings.state_directory / "journal"), {}), 10.0)
    until(lambda: keeper.turn() or [state for state in store.states() if state.waiting], "it waits to be delivered")
