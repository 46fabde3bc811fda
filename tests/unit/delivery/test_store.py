"""What any store must do: tests against the interface, in each database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dcmrecv_core.delivery.events import at_location
from dcmrecv_core.delivery.postgresql.store import PostgresqlStore
from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.delivery.store import (
    Claim,
    Completion,
    Item,
    NewEvent,
    OpenStudy,
    Queue,
    Store,
    StoredRecord,
)
from dcmrecv_core.storage.journals.records import decode
from support.deliveries import event

A, B = Queue("forward", "a"), Queue("forward", "b")
RELOCATE = Queue("s3", "relocate")
STUDIES, SERIES = Queue("actions", "study_completed"), Queue("actions", "series_completed")

Open = Callable[[], Store]


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same store for another process."""
    opened: list[Store] = []
    url = request.getfixturevalue("postgresql") if request.param == "PostgreSQL" else ""

    def make() -> Store:
        opened.append(PostgresqlStore.open(url, "n1") if url else SqliteStore.open(str(tmp_path)))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(connect: Open) -> Store:
    made = connect()
    made.begin([A, B, STUDIES, SERIES], 0)
    return made


def take_in(store: Store, *events: NewEvent, now: int = 0) -> None:
    store.take_in(events, {}, now, 0.0)


def claimed(store: Store, queue: Queue = A, owner: str = "p", now: int = 0) -> Claim:
    number = store.number_of(queue)
    assert number is not None
    claim = store.claim(number, owner, now)
    assert claim is not None
    return claim


def delivered(store: Store, queue: Queue = A, now: int = 1 << 60) -> list[str]:
    """Deliver all that is due; returns the ids."""
    found = []
    number = store.number_of(queue)
    assert number is not None
    while (claim := store.claim(number, "p", now)) is not None:
        while (item := store.next(claim)) is not None:
            assert item.content is not None
            found.append(item.content.id)
            store.done(claim, item)
        store.release(claim, now)
    return found


def state(store: Store, queue: Queue = A) -> tuple[int, int, int, int]:
    [found] = [each for each in store.states() if each.queue == queue]
    return found.waiting, found.failing, found.busy, found.put_aside


def test_each_queue_has_each_event_once(store: Store) -> None:
    events = [event("e1", uid="1"), event("e2", uid="2", study="9")]
    take_in(store, *events)
    take_in(store, *events)
    assert sorted(delivered(store, A)) == sorted(delivered(store, B)) == ["e1", "e2"]
    assert delivered(store, A) == []


def test_one_study_is_in_order_and_with_one_process(store: Store, connect: Open) -> None:
    take_in(store, event("e1"), event("x", study="9"), event("e2"))
    other = connect()
    claim = claimed(store)
    assert claim.study == "1.2"
    assert claimed(other, owner="q").study == "9"
    assert other.claim(claim.queue, "r", 0) is None
    first = store.next(claim)
    assert first is not None
    assert first.content is not None
    assert first.content.id == "e1"
    assert store.next(claim) == first
    store.done(claim, first)
    second = store.next(claim)
    assert second is not None
    assert second.content is not None
    assert second.content.id == "e2"
    store.release(claim, 0)
    again = claimed(other, owner="q")
    assert (again.queue, again.study, again.owner) == (claim.queue, claim.study, "q")


def test_what_comes_during_a_claim_is_not_lost(store: Store) -> None:
    take_in(store, event("e1"))
    claim = claimed(store)
    item = store.next(claim)
    assert item is not None
    store.done(claim, item)
    assert store.next(claim) is None
    take_in(store, event("e2"))
    store.release(claim, 0)
    assert delivered(store) == ["e2"]


def test_a_failed_delivery_holds_up_its_own_study_in_its_own_queue(store: Store) -> None:
    take_in(store, event("e1"), event("e2"), event("x", study="9"))
    claim = claimed(store)
    item = store.next(claim)
    assert item is not None
    store.failed(claim, item, due=100)
    assert delivered(store, now=99) == ["x"]
    assert delivered(store, B, now=99) == ["e1", "e2", "x"]
    assert state(store) == (2, 1, 0, 0)
    claim = claimed(store, now=100)
    again = store.next(claim)
    assert again is not None
    assert again.attempts == 1
    store.release(claim, 100)
    assert delivered(store, now=100) == ["e1", "e2"]


def test_what_is_put_aside_lets_the_rest_go_on(store: Store) -> None:
    take_in(store, event("e1"), event("e2"))
    claim = claimed(store)
    item = store.next(claim)
    assert item is not None
    store.put_aside(claim, item, "no such patient")
    store.release(claim, 0)
    assert delivered(store) == ["e2"]
    [aside] = store.all_put_aside()
    assert (aside.queue, aside.id, aside.study, aside.reason, aside.attempts) == (A, "e1", "1.2", "no such patient", 1)
    assert list(store.all_put_aside(B)) == []
    assert state(store) == (0, 0, 0, 1)
    assert store.retry(A, ["nothing"]) == 0
    assert store.retry(A, ["e1"]) == 1
    assert state(store) == (1, 0, 0, 0)
    assert delivered(store) == ["e1"]


def test_claims_of_dead_processes_are_free(store: Store, connect: Open) -> None:
    take_in(store, event("e1"), event("x", study="9"))
    first = claimed(store, owner="process 0")
    claimed(store, owner="process 1")
    other = connect()
    assert other.release_others(first.queue, ["process 1"], 7) == 1
    assert other.claim(first.queue, "p", 6) is None, "all else goes before it"
    assert claimed(other, now=7).study == first.study
    assert other.claim(first.queue, "p", 7) is None


def test_a_new_process_makes_everything_due(store: Store, connect: Open) -> None:
    """Times of another boot mean nothing."""
    take_in(store, event("e1"))
    claim = claimed(store)
    item = store.next(claim)
    assert item is not None
    store.failed(claim, item, due=1 << 61)
    connect().begin([A], 5)
    assert delivered(store, now=5) == ["e1"]


def test_a_queue_begins_now_and_stays_when_nobody_claims_it(store: Store, connect: Open) -> None:
    take_in(store, event("e1"))
    later = connect()
    new = Queue("index", "default")
    later.begin([A, new], 0)
    take_in(later, event("e2"))
    assert delivered(later, new) == ["e2"]
    assert delivered(later, A) == ["e1", "e2"]
    assert {each.queue: (each.claimed, each.waiting) for each in later.states()}[B] == (False, 1)
    assert later.drop(B) == 1
    assert later.number_of(B) is None
    assert later.drop(A) == 0
    assert later.number_of(A) is not None


def test_replay(store: Store) -> None:
    take_in(store, event("e1"), event("e2"))
    delivered(store)
    assert store.replay(A, 1e12) == 0
    assert store.replay(A, 0.0) == 2
    assert store.replay(A, 0.0) == 0
    assert delivered(store) == ["e1", "e2"]


def test_drop(store: Store) -> None:
    take_in(store, event("e1"), event("e2"), event("x", study="9"))
    assert store.drop(A, ["e1", "x", "unknown"]) == 2
    assert delivered(store) == ["e2"]
    assert state(store, B)[0] == 3


def test_notes_and_locations(store: Store, connect: Open) -> None:
    take_in(store, event("e1"))
    store.note("boot", "y")
    store.note("boot", "x")
    other = connect()
    assert (other.noted("boot"), other.noted("none")) == ("x", None)
    store.note("boot", None)
    assert other.noted("boot") is None
    assert [location for location, _ in other.locations_since(0.0)] == [b"out/1.2.3"]
    assert list(other.locations_since(1e12)) == []


def complete(store: Store, series: str = "") -> int:
    [found] = [each for each in store.quiet(1 << 62) if each.series == series]
    return store.complete(found)


def completions(store: Store, queue: Queue = STUDIES) -> list[Completion]:
    found = []
    claim = claimed(store, queue)
    while (item := store.next(claim)) is not None:
        assert isinstance(item.content, Completion)
        found.append(item.content)
        store.done(claim, item)
    store.release(claim, 0)
    return found


def test_studies_and_series_are_quiet_after_their_last_instance(store: Store) -> None:
    take_in(store, event("e1", series="s1"), now=10)
    take_in(store, event("e2", series="s2"), now=20)
    assert [(each.study, each.series) for each in store.quiet(20)] == [("1.2", "s1")]
    assert {(each.study, each.series, each.last) for each in store.quiet(21)} == {
        ("1.2", "", 20),
        ("1.2", "s1", 10),
        ("1.2", "s2", 20),
    }


def test_what_each_target_of_completions_gets(store: Store) -> None:
    queues = [Queue("actions", "study_completed/report"), STUDIES]
    store.begin([A, *queues], 0)
    take_in(store, event("e1"))
    [found] = store.quiet(1 << 60)
    assert store.complete(found) == 1
    for queue in queues:
        claim = claimed(store, queue)
        item = store.next(claim)
        assert item is not None
        assert isinstance(item.content, Completion)
        store.put_aside(claim, item, "no")
        store.release(claim, 0)
    [first, second] = store.all_put_aside()
    assert [str(first.queue), str(second.queue)] == [f"actions/{queue.target}" for queue in queues]
    assert first.id == second.id == item.content.id


def test_a_target_that_ends_like_a_hook_gets_events(store: Store) -> None:
    queue = Queue("forward", "my_completed")
    store.begin([queue], 0)
    take_in(store, event("e1"))
    claim = claimed(store, queue)
    item = store.next(claim)
    assert item is not None
    store.put_aside(claim, item, "no")
    assert [each.id for each in store.all_put_aside()] == ["e1"]


def test_all_or_none_are_done(store: Store) -> None:
    take_in(store, event("e1"), event("e2"), event("x1", study="9"))
    claims = [claimed(store), claimed(store)]
    found = [(claim, item) for claim in claims for item in store.next_many(claim, 2)]
    assert [item.content.id for _, item in found if isinstance(item.content, StoredRecord)] == ["e1", "e2", "x1"]
    assert len(store.next_many(claims[0], 1)) == 1
    store.all_done(found)
    for claim in claims:
        store.release(claim, 0)
    assert state(store) == (0, 0, 0, 0)


def test_queues_that_another_process_adds_get_events_at_once(store: Store, connect: Open) -> None:
    added = Queue("forward", "c")
    connect().add_queues([added, A])
    take_in(store, event("e1"))
    assert delivered(store, added) == delivered(store, A) == delivered(store, B) == ["e1"]


def test_without_a_study_nothing_is_completed(store: Store) -> None:
    take_in(store, event("e1", study=""), event("e2", study="", uid="7"))
    assert store.quiet(1 << 62) == []
    assert delivered(store) == ["e1", "e2"]


def test_a_study_is_complete_once_for_each_revision(store: Store, connect: Open) -> None:
    take_in(store, event("e1", uid="1"), event("e2", uid="2"))
    assert complete(store) == 1
    assert [each for each in store.quiet(1 << 62) if not each.series] == []
    take_in(store, event("e3", uid="3"))
    assert complete(store) == 2
    first, second = completions(connect())
    assert (first.revision, first.study, first.series, first.since) == (1, "1.2", "", 0)
    assert (second.revision, second.since) == (2, first.upto)
    assert first.id != second.id
    assert [each.id for each in store.events_of(first)] == ["e1", "e2"]
    assert [each.id for each in store.events_of(second)] == ["e1", "e2", "e3"]


def test_a_series_has_its_own_revisions(store: Store) -> None:
    take_in(store, event("e1", series="s1"), event("e2", series="s2"))
    assert complete(store, "s1") == complete(store, "s2") == 1
    take_in(store, event("e3", series="s2"))
    assert complete(store, "s2") == 2
    one, two, again = completions(store, SERIES)
    assert [each.id for each in store.events_of(one)] == ["e1"]
    assert [each.id for each in store.events_of(two)] == ["e2"]
    assert [each.id for each in store.events_of(again)] == ["e2", "e3"]


def test_equal_instances_sent_again_complete_nothing(store: Store) -> None:
    take_in(store, event("e1", uid="1"))
    complete(store)
    take_in(store, event("e2", uid="1", how="kept"))
    assert complete(store) == 0
    take_in(store, event("e3", uid="2", how="kept"))
    assert complete(store) == 2, "its first record was lost with its worker"
    take_in(store, event("e4", uid="1", how="replaced"))
    assert complete(store) == 3


def test_senders_of_an_open_study(store: Store) -> None:
    take_in(store, event("e1", association="a1"))
    complete(store)
    take_in(store, event("e2", association="a2"))
    [found] = [each for each in store.quiet(1 << 62) if not each.series]
    assert isinstance(found, OpenStudy)
    assert [each.id for each in store.records_since(found)] == ["e2"]


def test_old_events_are_removed_unless_something_waits_for_them(connect: Open) -> None:
    store = connect()
    store.begin([A], 0)
    take_in(store, event("e1"), event("e2", study="8"), event("e3", study="9"))
    claim = claimed(store)
    item = store.next(claim)
    assert item is not None
    store.put_aside(claim, item, "aside")
    store.release(claim, 0)
    claim = claimed(store)
    store.failed(claim, Item(0, 0, None), due=1 << 61)
    assert delivered(store, now=5) == ["e3"]
    assert store.purge(0.0, 10) == 0
    assert store.purge(1e12, 10) == 1
    assert store.purge(1e12, 10) == 0
    assert store.replay(A, 0.0) == 1, "the one that was put aside"


def test_completions_go_with_their_events(connect: Open) -> None:
    store = connect()
    store.begin([STUDIES], 0)
    take_in(store, event("e1"))
    complete(store)
    assert store.purge(1e12, 10) == 0
    [found] = completions(store)
    assert store._rows("SELECT id FROM completions") == [(found.id,)]
    assert store.purge(0.0, 10) == 0
    assert store._rows("SELECT id FROM completions") == [(found.id,)]
    assert store.purge(1e12, 10) == 1
    assert store._rows("SELECT id FROM completions") == []
    take_in(store, event("e2", uid="2"))
    assert complete(store) == 2


def test_an_event_that_is_gone_is_told_as_such(connect: Open) -> None:
    store = connect()
    store.begin([A], 0)
    take_in(store, event("e1"))
    item = store.next(claimed(store))
    assert isinstance(item, Item)
    assert isinstance(item.content, StoredRecord)
    assert item.content.data == event("e1", item.content.data).data


# Events that are held until a plugin has relocated them


def held(id: str, **fields: str) -> NewEvent:
    """Of a file of node n1."""
    return event(id, **fields)._replace(node="n1")


@pytest.fixture
def relocating(store: Store) -> Store:
    store.add_queues([RELOCATE])
    return store


def relocate(store: Store, location: str) -> bool:
    """Report the next one as relocated."""
    claim = claimed(store, RELOCATE)
    item = store.next(claim)
    assert item is not None
    assert isinstance(item.content, StoredRecord)
    changed = store.relocated(claim, item, at_location(item.content.data, location), 0)
    store.release(claim, 0)
    return changed


def locations(store: Store, queue: Queue = A) -> list[tuple[str, bytes]]:
    claim = claimed(store, queue)
    found = [item.content for item in store.next_many(claim, 100)]
    store.release(claim, 0)
    return [(each.id, decode(each.data).location) for each in found if isinstance(each, StoredRecord)]


def test_a_file_is_held_until_it_is_relocated(relocating: Store) -> None:
    """Another location, as that of a store that all nodes reach, is not."""
    take_in(relocating, held("e1"), event("far", location="s3://bucket/far"))
    assert locations(relocating) == [("far", b"s3://bucket/far")]
    assert locations(relocating, RELOCATE) == [("e1", b"out/1.2.3")]
    assert relocating.held_locations() == {b"out/1.2.3"}
    assert relocate(relocating, "s3://bucket/e1")
    assert locations(relocating) == [("far", b"s3://bucket/far"), ("e1", b"s3://bucket/e1")]
    assert relocating.held_locations() == set()
    assert state(relocating, RELOCATE) == (0, 0, 0, 0)
    take_in(relocating, held("e1"))  # the end of the journal is read again
    assert state(relocating, RELOCATE)[0] == 0


def test_what_stays_where_it_is_is_delivered(relocating: Store) -> None:
    take_in(relocating, held("e1"))
    assert relocate(relocating, "out/1.2.3")
    assert delivered(relocating) == delivered(relocating, B) == ["e1"]


def test_a_study_has_only_what_is_relocated(relocating: Store) -> None:
    take_in(relocating, held("e1", uid="1"), held("e2", uid="2"))
    assert relocating.quiet(100) == []
    relocate(relocating, "s3://bucket/1")
    [series, study] = sorted(relocating.quiet(100), key=lambda each: not each.series)
    assert relocating.complete(study) == relocating.complete(series) == 1
    relocate(relocating, "s3://bucket/2")
    [study] = [each for each in relocating.quiet(100) if not each.series]
    assert [each.id for each in relocating.records_since(study)] == ["e2"]
    assert relocating.complete(study) == 2


def test_held_events_hold_marks_and_are_unfinished(relocating: Store) -> None:
    take_in(relocating, held("e1"))
    assert relocating.holds(1 << 60)
    assert not relocating.holds(0)
    assert relocating.unfinished() == {"1.2"}
    relocate(relocating, "s3://bucket/1")
    assert not relocating.holds(1 << 60)


def test_held_events_are_not_replayed(relocating: Store) -> None:
    take_in(relocating, held("e1"))
    assert relocating.replay(A, 0.0) == 0
    assert state(relocating) == (0, 0, 0, 0)


def test_a_held_event_that_is_put_aside_stays_held(relocating: Store) -> None:
    take_in(relocating, held("e1"))
    claim = claimed(relocating, RELOCATE)
    item = relocating.next(claim)
    assert item is not None
    relocating.put_aside(claim, item, "gone")
    relocating.release(claim, 0)
    [aside] = relocating.all_put_aside()
    assert (aside.id, aside.study) == ("e1", "1.2")
    assert relocating.held_locations() == {b"out/1.2.3"}
    assert relocating.retry(RELOCATE, ["e1"]) == 1
    assert relocate(relocating, "s3://bucket/1")
    assert delivered(relocating) == ["e1"]


def test_nothing_is_held_without_a_plugin_that_relocates(store: Store) -> None:
    take_in(store, held("e1"))
    assert delivered(store) == ["e1"]
