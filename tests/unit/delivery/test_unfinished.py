"""Which studies are unfinished: from the journal on until the last queue has done with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmrecv_core import unfinished_studies
from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.delivery.store import Claim, FileState, Item, Queue
from dcmrecv_core.storage.journals.files import DIRECTORY, JournalWriter
from support.deliveries import event, record

DELIVERS, COMPLETES = Queue("index", "default"), Queue("retention", "study_completed")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    (tmp_path / DIRECTORY).mkdir()
    made = SqliteStore.open(str(tmp_path))
    made.begin([DELIVERS, COMPLETES], 0)
    yield made
    made.close()


def next_of(store: SqliteStore, queue: Queue) -> tuple[Claim, Item]:
    number = store.number_of(queue)
    assert number is not None
    claim = store.claim(number, "p", 10)
    assert claim is not None
    item = store.next(claim)
    assert item is not None
    return claim, item


def test_nothing(store: SqliteStore, tmp_path: Path) -> None:
    assert unfinished_studies(tmp_path) == set()


def test_what_is_recorded_is_seen_at_once(store: SqliteStore, tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path / DIRECTORY))
    writer.append(record("1", study="1.2"), b"a1")
    assert unfinished_studies(tmp_path) == {"1.2"}
    [file] = (tmp_path / DIRECTORY).iterdir()
    read = len(file.read_bytes().rstrip(b"\0"))
    store.take_in([], {file.name: FileState(read)}, 0, 0.0)
    assert unfinished_studies(tmp_path) == set(), "it has been taken in"
    writer.append(record("2", study="1.3"), b"a1")
    writer.close()


def test_until_the_last_queue_has_done_with_it(store: SqliteStore, tmp_path: Path) -> None:
    store.take_in([event("e1", record("1", study="1.2"))], {}, 0, 0.0)
    assert unfinished_studies(tmp_path) == {"1.2"}
    claim, item = next_of(store, DELIVERS)
    store.done(claim, item)
    store.release(claim, 0)
    assert unfinished_studies(tmp_path) == {"1.2"}, "it is not complete yet"
    [opened] = store.quiet(1)
    store.complete(opened)
    assert unfinished_studies(tmp_path) == {"1.2"}, "its completion waits"
    claim, item = next_of(store, COMPLETES)
    store.done(claim, item)
    store.release(claim, 0)
    assert unfinished_studies(tmp_path) == set()


def test_what_was_put_aside(store: SqliteStore, tmp_path: Path) -> None:
    store.begin([DELIVERS], 0)
    store.take_in([event("e1", record("1", study="1.2"))], {}, 0, 0.0)
    claim, item = next_of(store, DELIVERS)
    store.put_aside(claim, item, "no")
    store.release(claim, 0)
    assert unfinished_studies(tmp_path) == {"1.2"}


def test_a_store_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="the store of deliveries cannot be read: there is no "):
        unfinished_studies(tmp_path)
