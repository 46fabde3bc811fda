"""Files that are found at the start where a plugin relocates what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmrecv_core import StoredEvent
from dcmrecv_core.delivery import keeper, recovery
from dcmrecv_core.delivery.events import event_of
from dcmrecv_core.delivery.preparation import prepare
from dcmrecv_core.delivery.recovery import SETTLED, Leftovers
from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.delivery.store import Queue, StoredRecord
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.testing import fake_instance, sample_dataset
from support.deliveries import event

RELOCATE, INDEX = Queue("plugin0", "relocate"), Queue("index", "default")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore.open(str(tmp_path))
    made.begin([RELOCATE, INDEX], 0)
    yield made
    made.close()


def held(store: SqliteStore) -> list[StoredEvent]:
    number = store.number_of(RELOCATE)
    assert number is not None
    found: list[StoredEvent] = []
    while (claim := store.claim(number, "p", store.now())) is not None:
        contents = [item.content for item in store.next_many(claim, 9)]
        found += [event_of(each.id, each.data) for each in contents if isinstance(each, StoredRecord)]
    return found


def waiting(store: SqliteStore) -> dict[str, int]:
    return {str(each.queue): each.waiting for each in store.states()}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "out" / "spool").mkdir(parents=True)
    return Settings(output_directory="out", working_directory=str(tmp_path), state_dir=str(tmp_path))


def save(directory: Path, name: str) -> None:
    with fake_instance(sample_dataset(SOPInstanceUID="1.2.3")).open() as file:
        (directory / "out" / "spool" / name).write_bytes(file.read())


def test_files_that_no_event_knows_are_found(settings: Settings, store: SqliteStore, tmp_path: Path) -> None:
    for name in ("known", "left", ".dcmrecv-1", "torn"):
        save(tmp_path, name)
    torn = tmp_path / "out" / "spool" / "torn"
    torn.write_bytes(torn.read_bytes()[:-3])
    (tmp_path / "out" / "spool" / "left.key").symlink_to("nowhere")
    store.take_in([event("e1", location="./out/spool/known")], {}, store.now(), 0.0)
    leftovers = Leftovers(settings, store, "spool")
    assert [leftovers.turn() for _ in range(SETTLED)] == [False] * SETTLED, "records may be on their way"
    assert leftovers.turn()
    assert store.held_locations() == {b"./out/spool/known", b"out/spool/left"}
    assert waiting(store) == {"plugin0/relocate": 2, "index/default": 0}
    told = held(store)
    assert [(each.id, each.recovered) for each in told] == [("e1", False), (told[1].id, True)]
    assert (told[1].sop_instance_uid, told[1].location) == ("1.2.3", "out/spool/left")


def test_the_same_file_is_found_once(settings: Settings, store: SqliteStore, tmp_path: Path) -> None:
    save(tmp_path, "left")
    for _ in range(2):  # the journal process is started again
        leftovers = Leftovers(settings, store, "spool")
        while not leftovers.turn():
            continue
    assert waiting(store) == {"plugin0/relocate": 1, "index/default": 0}


def test_many_are_found_in_parts(
    settings: Settings, store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal goes on meanwhile."""
    for name in "abc":
        save(tmp_path, name)
    monkeypatch.setattr(recovery, "PART", 0.0)
    leftovers = Leftovers(settings, store, "spool")
    turns = [waiting(store)["plugin0/relocate"]]
    while not leftovers.turn():
        turns.append(waiting(store)["plugin0/relocate"])
    assert turns == [0] * (SETTLED + 1) + [1, 2]
    assert waiting(store)["plugin0/relocate"] == 3


def test_there_may_be_no_directory(settings: Settings, store: SqliteStore) -> None:
    assert Leftovers(settings, store, "another").turn()


def test_the_journal_process_looks_for_them(settings: Settings, tmp_path: Path) -> None:
    save(tmp_path, "left")
    prepare(settings)
    looked = SqliteStore.open(str(tmp_path))
    try:
        keeper.run(settings, [RELOCATE], lambda: bool(looked.held_locations()), relocated_from="spool")
        assert waiting(looked) == {"plugin0/relocate": 1}
    finally:
        looked.close()
