"""A database of which a page is damaged: whatever page it is, nothing that waits is lost without a word."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from dcmrecv_core.delivery.preparation import prepare
from dcmrecv_core.delivery.sqlite import mending
from dcmrecv_core.delivery.sqlite import store as sqlite_store
from dcmrecv_core.delivery.sqlite.database import is_marked, open_database
from dcmrecv_core.delivery.sqlite.mending import mend
from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.delivery.store import Completion, Queue, StoreError
from dcmrecv_core.settings.settings import Settings
from support.deliveries import event

PAGE = 4096
A, B = Queue("forward", "a"), Queue("forward", "b")
STUDIES, SERIES = Queue("actions", "study_completed/x"), Queue("actions", "series_completed")
QUEUES = [A, B, STUDIES, SERIES]
STUDIES_SENT, EVENTS = 15, 300


class Content(NamedTuple):
    """What a store says: deliveries by queue, study and number, with the id of what is to be delivered; the same of
    what is put aside; open studies; the time of each event by its number."""

    waiting: dict[tuple[Queue, str, int], str]
    aside: set[tuple[Queue, str, int]]
    open: set[tuple[str, str]]
    times: dict[int, float]


def content(path: Path) -> Content:
    with closing(sqlite3.connect(path)) as db:
        queues = {
            number: Queue(plugin, target)
            for number, plugin, target in db.execute("SELECT number, plugin, target FROM queues")
        }
        events = dict(db.execute("SELECT number, id FROM events"))
        completions = dict(db.execute("SELECT number, id FROM completions"))
        waiting = {}
        for number, study, item in db.execute("SELECT queue, study, item FROM deliveries"):
            queue = queues[number]
            waiting[queue, study, item] = (completions if queue.has_completions else events).get(item, "")
        aside = {(queues[queue], study, item) for queue, study, item, *_ in db.execute("SELECT * FROM put_aside")}
        lanes = set(db.execute("SELECT queue, study FROM lanes"))
        assert {(queues[queue], study) for queue, study in lanes} == {key[:2] for key in waiting}
        opened = set(db.execute("SELECT study, series FROM studies WHERE open"))
        return Content(waiting, aside, opened, dict(db.execute("SELECT number, at FROM events")))


def deliver(store: SqliteStore, queue: Queue, what: Callable[[int], str]) -> None:
    """Do with each event of the queue, by its number, what `what` says: "done", "aside" or "wait"."""
    number = store.number_of(queue)
    assert number is not None
    while (claim := store.claim(number, "p", 0)) is not None:
        for item in store.next_many(claim, 1000):
            if what(item.number) == "done":
                store.done(claim, item)
            elif what(item.number) == "aside":
                store.put_aside(claim, item, "no " * 50)
        store.release(claim, 1)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store that has all kinds of rows, on several pages of each table."""
    store = SqliteStore.open(str(tmp_path))
    store.begin(QUEUES, 0)
    for number in range(EVENTS):
        monkeypatch.setattr(sqlite_store.time, "time", lambda number=number: 1000.0 + number)
        study = f"1.2.840.10008.{number % STUDIES_SENT}"
        store.take_in([event(f"e{number}", uid=f"1.{number}", study=study, series=f"{study}.1")], {}, number, 1.0)
        if number == EVENTS // 2:
            for each in store.quiet(1 << 62):
                store.complete(each)
    deliver(store, A, lambda number: "done" if number % 3 else "aside")
    deliver(store, B, lambda number: "wait" if number % 2 else "done")
    store.close()
    return tmp_path / "delivery.sqlite"


def damage(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(b"\xa5" * PAGE)
    (path.parent / "delivery.sqlite.unreadable").touch()


def root_of(path: Path, table: str) -> int:
    """Its first page."""
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [table]).fetchone()[0])


@pytest.fixture
def pages(path: Path) -> Iterator[int]:
    return iter(range(2, path.stat().st_size // PAGE + 1))


def test_whatever_page_is_damaged_nothing_is_lost_without_a_word(
    path: Path, pages: Iterator[int], caplog: pytest.LogCaptureFixture
) -> None:
    whole, before = path.read_bytes(), content(path)
    tables: set[str] = set()
    for page in pages:
        path.write_bytes(whole)
        damage(path, page)
        caplog.clear()
        mend(str(path))
        assert not is_marked(str(path))
        [aside] = path.parent.glob("*.damaged-*") or [None]
        lost = {line.split("table ")[1].split()[0] for line in caplog.messages if "of the table" in line}
        tables |= lost
        if aside is not None:
            aside.unlink()
        check(path, before, lost, page)
    assert tables == set(mending.KEYS)


def check(path: Path, before: Content, lost: set[str], page: int) -> None:
    with closing(open_database(str(path))) as database:
        assert database.rows("PRAGMA integrity_check") == [("ok",)]
        notes = dict(database.rows("SELECT key, value FROM notes"))
    after = content(path)
    if "queues" in lost:
        assert after.waiting == {}
        return
    assert before.open <= after.open, page
    for key, id in before.waiting.items():
        assert key in after.waiting or key in after.aside, (page, key)
        if after.waiting.get(key, id) != id:
            queue, _, number = key
            assert after.waiting[key] == "", page  # to be put aside, and named
            if queue.hook == "deliver":
                assert float(notes["searched since"]) < before.times[number] < float(notes["searched until"]), page
            else:
                assert lost == {"completions"}, page
    if "deliveries" not in lost:
        assert after.waiting.keys() == before.waiting.keys(), page
    if "put_aside" not in lost:
        assert after.aside == before.aside, page
    with closing(SqliteStore.open(str(path.parent))) as store:
        store.take_in([event("new", study="9")], {}, 0, 0.0)
    known = {number for _, _, number in (*before.waiting, *before.aside)} | before.times.keys()
    [new] = content(path).times.keys() - after.times.keys()
    assert new not in known, page


def test_each_table_is_taken_over(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        tables = {name for [name] in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert tables == {*mending.KEYS, "sqlite_sequence"}
        for table, key in mending.KEYS.items():
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[5]]
            assert columns == list(key)


def test_other_processes_go_on_with_their_connections(path: Path) -> None:
    store = SqliteStore.open(str(path.parent))
    number = store.number_of(B)
    assert number is not None
    claim = store.claim(number, "p", 1 << 60)
    assert claim is not None
    [first, *_] = store.next_many(claim, 5)
    damage(path, root_of(path, "studies"))
    mend(str(path))
    store.done(claim, first)
    assert first.number not in [item.number for item in store.next_many(claim, 5)]
    store.release(claim, 0)
    assert store.number_of(B) == number
    store.close()


def test_a_process_that_meets_damage_asks_for_mending(path: Path) -> None:
    damage(path, root_of(path, "deliveries"))
    (path.parent / "delivery.sqlite.unreadable").unlink()
    mend(str(path))
    store = SqliteStore.open(str(path.parent))
    assert not is_marked(str(path))
    with pytest.raises(StoreError, match="malformed"):
        store.states()
    assert is_marked(str(path))
    mend(str(path))
    assert {state.queue for state in store.states()} == set(QUEUES)
    store.close()


def test_a_start_mends_what_it_needs(path: Path) -> None:
    damage(path, root_of(path, "notes"))
    (path.parent / "delivery.sqlite.unreadable").unlink()
    prepare(Settings(state_dir=str(path.parent)))
    assert not is_marked(str(path))
    assert content(path).times


def test_a_full_disk_is_not_filled_with_copies(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damage(path, root_of(path, "studies"))

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(mending, "fill", full)
    with pytest.raises(StoreError, match="database or disk is full"):
        mend(str(path))
    assert is_marked(str(path))
    assert sorted(each.name for each in path.parent.glob("delivery.sqlite*")) == [
        "delivery.sqlite",
        "delivery.sqlite.unreadable",
    ]
    monkeypatch.undo()
    mend(str(path))
    assert content(path).waiting


def test_what_is_whole_is_left_alone(path: Path) -> None:
    before = content(path)
    (path.parent / "delivery.sqlite.unreadable").touch()
    mend(str(path))
    assert content(path) == before
    assert sorted(each.name for each in path.parent.glob("delivery.sqlite*")) == ["delivery.sqlite"]


def test_lost_completions_keep_their_revision(path: Path) -> None:
    """A study that is completed again after the damage does not begin with revision 1."""
    damage(path, root_of(path, "studies"))
    mend(str(path))
    store = SqliteStore.open(str(path.parent))
    revisions = {store.complete(each) for each in store.quiet(1 << 62)}
    assert revisions == {2}
    number = store.number_of(STUDIES)
    assert number is not None
    claim = store.claim(number, "p", 1 << 60)
    assert claim is not None
    found = [item.content for item in store.next_many(claim, 9)]
    assert [each.revision for each in found if isinstance(each, Completion)] == [1, 2]
    store.close()


@pytest.mark.parametrize("table", ["deliveries", "lanes", "studies"])
def test_what_is_held_stays_held(tmp_path: Path, table: str) -> None:
    """No other queue gets it, and what is relocated is not held again."""
    path, relocate = tmp_path / "delivery.sqlite", Queue("s3", "relocate")
    with closing(SqliteStore.open(str(tmp_path))) as store:
        store.begin([A, STUDIES, relocate], 0)
        store.take_in([event("held"), event("there", location="s3://bucket/there")], {}, 0, 0.0)
    damage(path, root_of(path, table))
    mend(str(path))
    found = content(path)
    assert {(queue, study): id for (queue, study, _), id in found.waiting.items()} == {
        (relocate, "held 1.2"): "held",
        (A, "1.2"): "there",
    }
    assert {study for study, _ in found.open} == {"1.2"}
