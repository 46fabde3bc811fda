"""The journal process: from the journal to the store, and the clock of studies and series."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmrecv_core.delivery import clock, keeper
from dcmrecv_core.delivery.journal import JournalReader
from dcmrecv_core.delivery.keeper import KEPT_SECONDS, OPEN_FACTOR, Keeper
from dcmrecv_core.delivery.preparation import prepare
from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.delivery.store import Queue
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.storage.journals.boot import boot_id
from dcmrecv_core.storage.journals.files import JournalWriter
from support.deliveries import event, record

TIMEOUT = 10.0
QUEUES = [Queue("index", "default"), Queue("actions", "study_completed")]


class Receiver:
    """The state directory of a receiver, with a clock that is turned by hand."""

    def __init__(self, directory: Path) -> None:
        self.journal = str(directory / "journal")
        self.store = SqliteStore.open(str(directory))
        self.seconds = 1000.0
        self.log: list[str] = []
        self.restart()

    def restart(self) -> None:
        """Another journal process."""
        self.store.begin(QUEUES, self.now())
        self.reader = JournalReader(self.journal, self.store.files())
        self.keeper = Keeper(self.store, self.reader, TIMEOUT)

    def now(self) -> int:
        return int(self.seconds * clock.SECOND)

    def after(self, seconds: float) -> list[tuple[str, int, int]]:
        """The study, revision and number of events of each completion in the next so many seconds, turn by turn."""
        end = self.seconds + seconds
        found = []
        while self.seconds < end:
            self.seconds += 1
            while self.keeper.turn():
                continue
            found += self.completions()
        return found

    def completions(self) -> list[tuple[str, int, int]]:
        number = self.store.number_of(QUEUES[1])
        assert number is not None
        found = []
        while (claim := self.store.claim(number, "p", self.now())) is not None:
            while (item := self.store.next(claim)) is not None:
                content = item.content
                found.append((content.study, content.revision, len(list(self.store.events_of(content)))))  # type: ignore
                self.store.done(claim, item)
            self.store.release(claim, self.now())
        return found


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    made = Receiver(tmp_path)
    monkeypatch.setattr(clock, "now", lambda: made.now())
    monkeypatch.setattr(keeper, "_UNDER_WAY", 0)
    yield made
    made.reader.close()
    made.store.close()


@pytest.fixture
def writer(receiver: Receiver) -> Iterator[JournalWriter]:
    made = JournalWriter(receiver.journal)
    yield made
    made.close()


def send(writer: JournalWriter, *uids: str, study: str = "1.2", association: str = "a1") -> None:
    for uid in uids:
        writer.append(record(uid, study=study, association=association), association.encode())


def test_a_study_is_complete_after_the_time_out(receiver: Receiver, writer: JournalWriter) -> None:
    send(writer, "1", "2")
    writer.end_association()
    assert receiver.after(TIMEOUT) == []
    assert receiver.after(2) == [("1.2", 1, 2)]
    assert receiver.after(20 * TIMEOUT) == []


def test_each_instance_begins_the_time_again(receiver: Receiver, writer: JournalWriter) -> None:
    for number in range(5):
        send(writer, str(number), association=f"a{number}")
        writer.end_association()
        assert receiver.after(TIMEOUT - 2) == []
    assert receiver.after(4) == [("1.2", 1, 5)]


def test_an_open_association_stretches_the_wait(receiver: Receiver, writer: JournalWriter) -> None:
    """A slow modality: a slice each 20 s at a time-out of 10 s is one study."""
    for number in range(4):
        send(writer, str(number))
        assert receiver.after(20) == []
    writer.end_association()
    assert receiver.after(2) == [("1.2", 1, 4)]


def test_but_not_without_end(receiver: Receiver, writer: JournalWriter) -> None:
    send(writer, "1")
    assert receiver.after(OPEN_FACTOR * TIMEOUT - 1) == []
    assert receiver.after(3) == [("1.2", 1, 1)]
    send(writer, "2")
    assert receiver.after(OPEN_FACTOR * TIMEOUT - 1) == []
    assert receiver.after(3) == [("1.2", 2, 2)]


def test_only_associations_that_have_sent_to_it_count(receiver: Receiver, writer: JournalWriter) -> None:
    other = JournalWriter(receiver.journal)
    send(writer, "1", association="a1")
    send(other, "2", study="9", association="a2")
    other.end_association()
    assert receiver.after(TIMEOUT + 2) == [("9", 1, 1)]
    other.close()


def test_a_dead_worker_holds_nothing_open(receiver: Receiver, writer: JournalWriter) -> None:
    send(writer, "1")
    assert receiver.after(TIMEOUT + 2) == []
    writer.close()
    assert receiver.after(2) == [("1.2", 1, 1)]


def test_late_instances_complete_it_again(receiver: Receiver, writer: JournalWriter) -> None:
    send(writer, "1")
    writer.end_association()
    receiver.after(TIMEOUT + 2)
    send(writer, "2")
    writer.end_association()
    assert receiver.after(TIMEOUT + 2) == [("1.2", 2, 2)]


def test_after_a_start_a_study_waits_anew(receiver: Receiver, writer: JournalWriter) -> None:
    send(writer, "1")
    writer.end_association()
    assert receiver.after(TIMEOUT - 2) == []
    receiver.restart()
    assert receiver.after(TIMEOUT) == []
    assert receiver.after(2) == [("1.2", 1, 1)]


def test_an_association_is_still_open_for_the_next_process(receiver: Receiver, writer: JournalWriter) -> None:
    send(writer, "1")
    receiver.after(2)
    receiver.restart()
    assert receiver.after(5 * TIMEOUT) == []
    writer.end_association()
    assert receiver.after(2) == [("1.2", 1, 1)]


def test_a_quick_association_does_not_hide_a_slow_one(receiver: Receiver, writer: JournalWriter) -> None:
    """The slow one has sent to the process before."""
    send(writer, "1", association="slow")
    receiver.after(2)
    receiver.restart()
    quick = JournalWriter(receiver.journal)
    send(quick, "2", association="quick")
    quick.end_association()
    quick.close()
    assert receiver.after(5 * TIMEOUT) == []
    writer.end_association()
    assert receiver.after(2) == [("1.2", 1, 2)]


def test_what_is_kept_in_memory_does_not_grow(receiver: Receiver, writer: JournalWriter) -> None:
    for number in range(50):
        send(writer, str(number), study=f"1.{number}", association=f"a{number}")
        writer.end_association()
    receiver.after(TIMEOUT + 3)
    assert receiver.keeper._senders == {}


def test_old_events_go(receiver: Receiver, writer: JournalWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver.restart()
    send(writer, "1")
    writer.end_association()
    receiver.after(TIMEOUT + 2)
    number = receiver.store.number_of(QUEUES[0])
    assert number is not None
    claim = receiver.store.claim(number, "p", receiver.now())
    assert claim is not None
    item = receiver.store.next(claim)
    assert item is not None
    receiver.store.done(claim, item)
    receiver.store.release(claim, 0)
    assert list(receiver.store.locations_since(0.0)) != []
    monkeypatch.setattr(keeper, "KEPT_SECONDS", -KEPT_SECONDS)
    receiver.keeper._purged = 0.0
    receiver.after(1)
    assert list(receiver.store.locations_since(0.0)) == []


# The process


def run_for(settings: Settings, turns: int) -> None:
    left = iter([False] * turns)
    keeper.run(settings, QUEUES, lambda: next(left, True))


def settings_of(directory: Path) -> Settings:
    return Settings(output_directory=str(directory / "out"), state_dir=str(directory), study_timeout=10)


def test_it_notes_boot_flush_and_end(tmp_path: Path) -> None:
    prepare(settings_of(tmp_path))
    run_for(settings_of(tmp_path), 1)
    store = SqliteStore.open(str(tmp_path))
    assert store.noted("boot") == boot_id()
    assert store.noted("flushed") is not None
    assert store.noted("stopped") is not None
    assert store.noted("searched since") is None
    store.close()


def test_what_nobody_claims_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = SqliteStore.open(str(tmp_path))
    store.begin([Queue("forward", "old")], 0)
    store.take_in([event("e1")], {}, 0, 0.0)
    store.close()
    run_for(settings_of(tmp_path), 1)
    assert "1 deliveries wait for forward/old, which no plugin claims" in caplog.text


def test_a_clock_that_is_set_back_is_noted(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut takes from then on has the times of this clock."""
    for at in (9000.0, 5000.0):
        monkeypatch.setattr(keeper.time, "time", lambda at=at: at)
        receiver.keeper.turn()
        assert receiver.store.noted("flushed") == repr(at)


def test_a_search_waits_until_all_records_are_taken_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else files whose records wait would get others."""
    (tmp_path / "out").mkdir()
    settings = Settings(output_directory="out", working_directory=str(tmp_path))
    prepare(settings)
    calls: list[str] = []
    backlog = iter([True, True, False, False])

    def turn(self: Keeper) -> bool:
        calls.append("keeper")
        return next(backlog)

    class Search:
        def turn(self) -> bool:
            calls.append("search")
            return True

    monkeypatch.setattr(Keeper, "turn", turn)
    monkeypatch.setattr(keeper, "_recovery", lambda *arguments: Search())
    keeper.run(settings, QUEUES, lambda: calls.count("keeper") >= 3)
    assert calls == ["keeper", "keeper", "keeper", "search", "keeper"]
