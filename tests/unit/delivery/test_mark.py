"""When a plugin has had all that was stored before a moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmrecv_core import DeliveryMark
from dcmrecv_core.delivery import keeper
from dcmrecv_core.delivery.journal import JournalReader
from dcmrecv_core.delivery.keeper import Keeper
from dcmrecv_core.delivery.preparation import prepare
from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.delivery.store import Queue, StoredRecord
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.storage.journals.boot import now
from dcmrecv_core.storage.journals.files import JournalWriter
from support.deliveries import record

INDEX, OTHER, STUDIES = Queue("index", "default"), Queue("site", "default"), Queue("index", "study_completed")
RELOCATE = Queue("s3", "relocate")


class Receiver:
    """A state directory, a worker's journal, and the processes, whose turns come when they are told to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        prepare(Settings(output_directory=str(directory), state_dir=str(directory)))
        self.store = SqliteStore.open(str(directory))
        self.store.begin([INDEX, OTHER, STUDIES], now())
        self.reader = JournalReader(str(directory / "journal"), {})
        self.keeper = Keeper(self.store, self.reader, 60.0)
        self.writer = JournalWriter(str(directory / "journal"))

    def acknowledge(self, uid: str) -> None:
        self.writer.append(record(uid, study=uid, published=now()), b"a1")

    def deliver(self, queue: Queue) -> None:
        """All that waits there."""
        number = self.store.number_of(queue)
        assert number is not None
        while (claim := self.store.claim(number, "p", now())) is not None:
            while (item := self.store.next(claim)) is not None:
                self.store.done(claim, item)
            self.store.release(claim, now())

    def mark(self) -> DeliveryMark:
        return DeliveryMark(self.directory, "index")


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(keeper, "_UNDER_WAY", 0)
    made = Receiver(tmp_path)
    yield made
    made.writer.close()
    made.reader.close()
    made.store.close()


def test_what_was_acknowledged_before_has_to_be_taken_in_and_delivered(receiver: Receiver) -> None:
    receiver.acknowledge("1.1")
    mark = receiver.mark()
    assert not mark.is_passed(), "it is in the journal"
    receiver.keeper.turn()
    assert not mark.is_passed(), "it waits"
    receiver.deliver(INDEX)
    assert mark.is_passed()


def test_a_turn_that_began_before_says_nothing(receiver: Receiver) -> None:
    first = receiver.mark()
    assert not first.is_passed()
    receiver.keeper.turn()
    assert first.is_passed()
    receiver.acknowledge("1.1")
    assert not receiver.mark().is_passed(), "the answer is older than it"


def test_later_events_and_other_queues_do_not_count(receiver: Receiver) -> None:
    receiver.acknowledge("1.1")
    mark = receiver.mark()
    mark.is_passed()
    receiver.keeper.turn()
    receiver.deliver(INDEX)
    assert mark.is_passed(), "it waits for others still"
    receiver.acknowledge("1.2")
    receiver.keeper.turn()
    assert mark.is_passed()


def test_what_is_held_is_not_delivered_yet(receiver: Receiver) -> None:
    """When it is relocated, it gets a later number, and waits for the plugin."""
    receiver.store.add_queues([RELOCATE])
    receiver.acknowledge("1.1")
    mark = receiver.mark()
    assert not mark.is_passed()
    receiver.keeper.turn()
    assert not mark.is_passed(), "it is held"
    number = receiver.store.number_of(RELOCATE)
    assert number is not None
    claim = receiver.store.claim(number, "p", now())
    assert claim is not None
    item = receiver.store.next(claim)
    assert item is not None
    assert isinstance(item.content, StoredRecord)
    receiver.store.relocated(claim, item, item.content.data, now())
    receiver.store.release(claim, now())
    assert not mark.is_passed(), "it waits"
    receiver.deliver(INDEX)
    assert mark.is_passed()


def test_what_is_put_aside_does_not_wait(receiver: Receiver) -> None:
    receiver.acknowledge("1.1")
    mark = receiver.mark()
    mark.is_passed()
    receiver.keeper.turn()
    number = receiver.store.number_of(INDEX)
    assert number is not None
    claim = receiver.store.claim(number, "p", now())
    assert claim is not None
    item = receiver.store.next(claim)
    assert item is not None
    receiver.store.failed(claim, item, now())
    assert not mark.is_passed(), "it is tried again"
    claim = receiver.store.claim(number, "p", now())
    assert claim is not None
    receiver.store.put_aside(claim, item, "damaged")
    assert mark.is_passed()


def test_not_while_there_is_more_to_be_read(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dcmrecv_core.delivery.journal.CHUNK", 600)
    for number in range(5):
        receiver.acknowledge(f"1.{number}")
    mark = receiver.mark()
    mark.is_passed()
    turns = 1
    while receiver.keeper.turn():
        turns += 1
        receiver.deliver(INDEX)
        assert not mark.is_passed()
    assert turns > 1
    receiver.deliver(INDEX)
    assert mark.is_passed()


def test_answers_of_another_boot_do_not_count(receiver: Receiver) -> None:
    receiver.store.answer(now() + 10**18)
    assert receiver.mark().is_passed(), "as if the clock had been later"
    prepare(Settings(output_directory=str(receiver.directory), state_dir=str(receiver.directory)))
    assert not receiver.mark().is_passed()


def test_without_a_store(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="the store of deliveries cannot be used"):
        DeliveryMark(tmp_path / "none", "index").is_passed()
