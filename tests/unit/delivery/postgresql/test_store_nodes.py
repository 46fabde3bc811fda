"""Several nodes on one store in PostgreSQL: leases, tokens, local files, completions, versions of the tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from threading import Barrier, Thread

import psycopg
import pytest

from dcmrecv_core.delivery.events import at_location
from dcmrecv_core.delivery.postgresql import leases
from dcmrecv_core.delivery.postgresql import store as postgresql_store
from dcmrecv_core.delivery.postgresql.database import SCHEMA, VERSION, connect, open_database
from dcmrecv_core.delivery.postgresql.leases import LEASE
from dcmrecv_core.delivery.postgresql.store import PostgresqlStore
from dcmrecv_core.delivery.store import Claim, NewEvent, Queue, StoredRecord, StoreError
from dcmrecv_core.testing import until
from support.deliveries import event

A, STUDIES = Queue("forward", "a"), Queue("actions", "study_completed")
RELOCATE = Queue("s3", "relocate")

Node = Callable[[str], PostgresqlStore]


@pytest.fixture
def node(postgresql: str) -> Iterator[Node]:
    """A store of the node with this name."""
    opened: list[PostgresqlStore] = []

    def make(name: str) -> PostgresqlStore:
        opened.append(PostgresqlStore.open(postgresql, name))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def one(node: Node) -> PostgresqlStore:
    store = node("n1")
    store.begin([A, STUDIES], 0)
    return store


@pytest.fixture
def two(node: Node, one: PostgresqlStore) -> PostgresqlStore:
    store = node("n2")
    store.begin([A, STUDIES], 0)
    return store


def take_in(store: PostgresqlStore, *events: NewEvent, now: int = 0) -> None:
    store.take_in(events, {}, now, 0.0)


def claimed(store: PostgresqlStore, queue: Queue = A, now: int = 0) -> Claim | None:
    number = store.number_of(queue)
    assert number is not None
    return store.claim(number, "p", now)


def ids(store: PostgresqlStore, claim: Claim) -> list[str]:
    return [item.content.id for item in store.next_many(claim, 9) if isinstance(item.content, StoredRecord)]


def test_work_is_taken_over_when_its_lease_ends(one: PostgresqlStore, two: PostgresqlStore) -> None:
    take_in(one, event("e1"))
    first = claimed(one)
    assert first is not None
    assert claimed(two, now=LEASE) is None
    second = claimed(two, now=LEASE + 1)
    assert second is not None
    assert ids(two, second) == ["e1"]


@pytest.mark.parametrize("report", ["done", "failed", "put aside", "released", "all done"])
def test_what_is_reported_under_an_old_token_has_no_effect(
    one: PostgresqlStore, two: PostgresqlStore, report: str
) -> None:
    take_in(one, event("e1"), event("e2"))
    old = claimed(one)
    assert old is not None
    item = one.next(old)
    assert item is not None
    new = claimed(two, now=LEASE + 1)
    assert new is not None
    assert one.next(old) is None
    if report == "done":
        one.done(old, item)
    elif report == "failed":
        one.failed(old, item, 0)
    elif report == "put aside":
        one.put_aside(old, item, "no")
    elif report == "released":
        one.release(old, 0)
    else:
        one.all_done([(old, item)])
    assert ids(two, new) == ["e1", "e2"]
    assert [each.attempts for each in two.next_many(new, 9)] == [0, 0]
    assert list(two.all_put_aside()) == []
    assert claimed(one, now=LEASE + 2) is None


def test_a_name_has_one_receiver_until_its_lease_ends(node: Node) -> None:
    one, copy = node("n1"), node("n1")
    assert one.take_name("here")
    assert one.take_name("here"), "it starts again"
    assert not copy.take_name("there")
    one._db.change("UPDATE nodes SET lease = 0")
    assert copy.take_name("there"), "it was moved"
    assert not one.take_name("here")
    assert node("n2").take_name("here")


def test_a_lease_is_renewed_while_a_hook_runs(one: PostgresqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEWED_AFTER", 0.01)
    take_in(one, event("e1"))
    claim = claimed(one, now=0)
    assert claim is not None
    with one.keep_claims(claim.queue, "other"), one.keep_claims(claim.queue, "p"):
        until(lambda: one._rows("SELECT lease > %s FROM lanes", one.now()) == [(True,)], "the lease is renewed")


@pytest.mark.parametrize("change", ["renewed", "freed", "begun", "taken in"])
def test_no_two_processes_wait_for_each_others_lanes(
    one: PostgresqlStore, two: PostgresqlStore, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lanes lie in the table in another order than they are locked in, and the database sorts as people do."""
    one._db.change('ALTER TABLE lanes ALTER COLUMN study TYPE text COLLATE "und-x-icu"')
    one._db.change('ALTER TABLE events ALTER COLUMN study TYPE text COLLATE "und-x-icu"')
    for study in ("a", "B"):  # "B" is the first one to Python
        take_in(one, event(f"e {study}", study=study))
    claims = [claim for claim in (claimed(one), claimed(one)) if claim is not None]
    [(first, first_item), (second, second_item)] = sorted(
        ((claim, item) for claim in claims if (item := one.next(claim)) is not None), key=lambda each: each[0].study
    )
    number = first.queue

    def renew(call: Callable[[], None]) -> nullcontext[None]:
        call()
        return nullcontext()

    monkeypatch.setattr(postgresql_store, "renewing", renew)
    if change == "begun":
        one._db.change("UPDATE lanes SET owner = NULL, due = 9")
    steps: dict[str, Callable[[], object]] = {
        "renewed": lambda: PostgresqlStore(two._db, two._url, "n1").keep_claims(number, "p"),
        "freed": lambda: PostgresqlStore(two._db, two._url, "n1").release_others(number, [], 0),
        "begun": lambda: two.begin([A], 0),
        "taken in": lambda: take_in(two, event("e3", study="a"), event("e4", study="B")),
    }
    with ThreadPoolExecutor(1) as others:
        with one._db.writing():
            one._delete(first, first_item)
            step = others.submit(steps[change])
            until(lambda: _waits(one), "the other one waits")
            one._delete(second, second_item)
        step.result(30)


def _waits(store: PostgresqlStore) -> bool:
    """For a lock of this store's transaction."""
    return bool(store._rows("SELECT 1 FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"))
    assert claimed(one, now=one.now()) is None


def test_a_local_file_is_delivered_by_its_node_only(one: PostgresqlStore, two: PostgresqlStore) -> None:
    local = event("e1")._replace(node="n1")
    take_in(one, local, event("e2"), event("x", study="9")._replace(node="n1"))
    claim = claimed(two)
    assert claim is not None
    assert ids(two, claim) == ["e2"]
    assert claimed(two) is None
    two.release(claim, 0)
    claim = claimed(one)
    assert claim is not None
    assert claimed(two) is None, "one process at a time works on a study"
    while ids(one, claim) != ["e1", "e2"]:
        claim = claimed(one)
        assert claim is not None


def test_a_study_with_local_files_is_completed_on_their_node(one: PostgresqlStore, two: PostgresqlStore) -> None:
    take_in(one, event("e1", uid="1")._replace(node="n2"), event("e2", uid="2"))
    [found] = one.quiet(1 << 60)
    assert one.complete(found) == 1
    assert claimed(one, STUDIES) is None
    assert claimed(two, STUDIES) is not None


def test_a_study_is_completed_once_by_all_nodes(node: Node, one: PostgresqlStore) -> None:
    take_in(one, *(event(f"e{number}", study=f"1.{number}") for number in range(20)))
    stores = [node(f"n{number}") for number in range(4)]
    seen = [store.quiet(1 << 60) for store in stores]
    assert {len(each) for each in seen} == {20}
    together = Barrier(4)
    revisions: list[int] = []

    def complete(number: int) -> None:
        together.wait(20)
        revisions.extend(stores[number].complete(each) for each in seen[number])

    threads = [Thread(target=complete, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(revisions) == [0] * 60 + [1] * 20
    assert one._rows("SELECT count(*) FROM completions") == [(20,)]


def test_a_study_that_another_node_has_added_to_is_not_completed(one: PostgresqlStore, two: PostgresqlStore) -> None:
    take_in(one, event("e1"), now=5)
    [found] = one.quiet(6)
    take_in(two, event("e2", uid="2"), now=7)
    assert one.complete(found) == 0
    [later] = one.quiet(8)
    assert one.complete(later) == 1


def test_deliveries_that_come_while_a_claim_is_given_back_stay(one: PostgresqlStore, two: PostgresqlStore) -> None:
    """A transaction that adds to the study is open while the claim is given back; it commits after that has begun."""
    take_in(one, event("e1"))
    claim = claimed(one)
    assert claim is not None
    item = one.next(claim)
    assert item is not None
    one.done(claim, item)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with two._db.writing():
        two.take_in([event("e2")], {}, 0, 0.0)
        giving_back = Thread(target=one.release, args=(claim, 0))
        giving_back.start()
        until(lambda: two._rows(waiting) != [(0,)] or not giving_back.is_alive(), "the claim is being given back")
    giving_back.join(20)
    again = claimed(one)
    assert again is not None
    assert ids(one, again) == ["e2"]


def test_queues_of_a_node_that_has_died_can_be_dropped(one: PostgresqlStore, two: PostgresqlStore) -> None:
    added = Queue("forward", "b")
    two.add_queues([added])
    take_in(one, event("e1"))
    assert {state.queue: (state.claimed, state.waiting) for state in one.states()}[added] == (True, 1)
    assert one.drop(added) == 1
    assert one.number_of(added) is not None
    one._db.change("UPDATE nodes SET lease = 0 WHERE node = 'n2'")
    assert not {state.queue: state.claimed for state in one.states()}[added]
    assert one.drop(added) == 0
    assert one.number_of(added) is None


def test_processes_of_another_node_keep_their_claims(one: PostgresqlStore, two: PostgresqlStore) -> None:
    take_in(one, event("e1"), event("x", study="9"))
    first, second = claimed(one), claimed(two)
    assert first is not None
    assert second is not None
    assert one.release_others(first.queue, [], 0) == 1
    again = claimed(one)
    assert again is not None
    assert again.study == first.study


def test_text_that_postgresql_cannot_hold(one: PostgresqlStore) -> None:
    take_in(one, event("e1", study="1.2\xe9"), event("e2", study="", uid="1.\udcff"))
    for _ in range(2):
        claim = claimed(one)
        assert claim is not None
        item = one.next(claim)
        assert item is not None
        one.put_aside(claim, item, "a\0b\udcff")
    assert {each.reason for each in one.all_put_aside()} == {"a\\x00b\\udcff"}


def test_a_newer_version_is_refused(postgresql: str) -> None:
    with pytest.raises(StoreError, match="version 0 of the tables"):
        open_database(postgresql, make=False)
    open_database(postgresql).close()
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute(f"INSERT INTO {SCHEMA}.versions VALUES ({VERSION + 1})".encode())
    with pytest.raises(StoreError, match=f"version {VERSION + 1}, this dcmrecv knows versions up to {VERSION}"):
        open_database(postgresql)


def test_nodes_that_start_at_once_make_the_tables_once(postgresql: str) -> None:
    failures: list[Exception] = []

    def start() -> None:
        try:
            open_database(postgresql).close()
        except StoreError as error:
            failures.append(error)

    threads = [Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []


def test_a_database_that_cannot_be_reached() -> None:
    with pytest.raises(StoreError, match=r"PostgreSQL: .*/nowhere"):
        connect("postgresql://dcmrecv@/x?host=/nowhere")


# Files that their node relocates


def file_of(node: str, id: str) -> NewEvent:
    return event(id, uid=id)._replace(node=node)


def test_a_node_relocates_its_own_files(one: PostgresqlStore, two: PostgresqlStore) -> None:
    """Also if another node takes its records in. Files of nodes that relocate nothing are not held."""
    one.add_queues([RELOCATE])
    take_in(two, file_of("n1", "e1"), file_of("n2", "e2"))
    assert claimed(two, RELOCATE) is None
    assert two.held_locations() == set()
    assert not two.holds(1 << 60)
    of_two = claimed(two)
    assert of_two is not None
    assert ids(two, of_two) == ["e2"]
    assert one.held_locations() == {b"out/e1"}
    assert one.holds(1 << 60)
    claim = claimed(one, RELOCATE)
    assert claim is not None
    assert ids(one, claim) == ["e1"]


def test_what_is_relocated_is_for_any_node(one: PostgresqlStore, two: PostgresqlStore) -> None:
    one.add_queues([RELOCATE])
    take_in(one, file_of("n1", "e1"))
    claim = claimed(one, RELOCATE)
    assert claim is not None
    item = one.next(claim)
    assert item is not None
    assert isinstance(item.content, StoredRecord)
    assert one.relocated(claim, item, at_location(item.content.data, "s3://bucket/e1"), 0)
    anywhere = claimed(two)
    assert anywhere is not None
    assert ids(two, anywhere) == ["e1"]


def test_a_claim_that_has_ended_relocates_nothing(one: PostgresqlStore) -> None:
    """The process that has taken it over will."""
    one.add_queues([RELOCATE])
    take_in(one, file_of("n1", "e1"))
    old = claimed(one, RELOCATE)
    assert old is not None
    item = one.next(old)
    assert item is not None
    assert isinstance(item.content, StoredRecord)
    new = claimed(one, RELOCATE, now=LEASE + 1)
    assert new is not None
    assert not one.relocated(old, item, item.content.data, 0)
    assert claimed(one) is None
    assert one.relocated(new, item, item.content.data, 0)
    assert claimed(one) is not None
