"""Records of workers in the database: written, read, taken in, of other nodes, damaged; which associations are open."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import psycopg
import pytest

from dcmrecv_core.api.errors import StorageError
from dcmrecv_core.delivery import clock
from dcmrecv_core.delivery.keeper import Keeper
from dcmrecv_core.delivery.postgresql import journal
from dcmrecv_core.delivery.postgresql.database import SCHEMA
from dcmrecv_core.delivery.postgresql.journal import SharedJournalReader
from dcmrecv_core.delivery.postgresql.store import PostgresqlStore
from dcmrecv_core.delivery.store import Queue
from dcmrecv_core.storage.journals.database import SharedJournalWriter
from dcmrecv_core.storage.journals.records import LONGEST_VALUE
from dcmrecv_core.storage.journals.state_files import NODE
from support.deliveries import record

QUEUES = [Queue("index", "default"), Queue("actions", "study_completed")]


class Node:
    """A receiver: a worker's journal, and the journal process."""

    def __init__(self, url: str, directory: Path, name: str) -> None:
        (directory / name).mkdir()
        (directory / name / NODE).write_text(f"{name}\n")
        self.store = PostgresqlStore.open(url, name)
        self.store.begin(QUEUES, 0)
        self.writer = SharedJournalWriter(url, directory / name)
        self.reader = SharedJournalReader(self.store)
        self.keeper = Keeper(self.store, self.reader, 0.0)

    def send(self, *uids: str, association: str = "a1", location: str = "") -> None:
        for uid in uids:
            self.writer.make_room()
            self.writer.append(record(uid, association=association, location=location), association.encode())

    def read(self) -> list[tuple[bytes, str]]:
        return [(each.record.sop_instance_uid, each.node) for each in self.reader.read(0).events]

    def dies(self) -> None:
        self.store._db.change("UPDATE nodes SET lease = 0 WHERE node = %s", self.store._node)
        self.store._db.change("UPDATE associations SET lease = 'epoch' WHERE node = %s", self.store._node)

    def close(self) -> None:
        self.writer.close()
        self.store.close()


@pytest.fixture
def node(postgresql: str, tmp_path: Path) -> Iterator[Callable[[str], Node]]:
    made: list[Node] = []

    def make(name: str) -> Node:
        made.append(Node(postgresql, tmp_path, name))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def one(node: Callable[[str], Node]) -> Node:
    return node("n1")


@pytest.fixture
def two(node: Callable[[str], Node], one: Node) -> Node:
    return node("n2")


def test_a_record_is_durable_whatever_the_database_is_set_to(one: Node, postgresql: str, tmp_path: Path) -> None:
    """The journal's trigger is asked, which runs in the transaction of the record."""
    one.store._db.change(
        f"CREATE FUNCTION {SCHEMA}.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF current_setting('synchronous_commit') != 'on' THEN RAISE 'not durable'; END IF; RETURN NEW; END $$"
    )
    one.store._db.change(f"CREATE TRIGGER note BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.note()")
    writer = SharedJournalWriter(f"{postgresql}&options=-c%20synchronous_commit%3Doff", tmp_path / "n1")
    writer.make_room()
    writer.append(record("1"), b"a1")
    writer.close()
    assert one.read() == [(b"1", "n1")]


def test_records_are_read_until_they_are_taken_in(one: Node) -> None:
    one.send("1", "2")
    one.send("3", location="s3://bucket/3")
    expected = [(b"1", "n1"), (b"2", "n1"), (b"3", "")]
    assert one.read() == one.read() == expected
    batch = one.reader.read(0)
    assert not batch.more
    one.store.take_in(batch.events, batch.files, 0, 0.0)
    assert one.read() == []
    one.store.take_in(batch.events, batch.files, 0, 0.0)
    assert one.store.states()[-1].waiting == 3


def test_a_turn_reads_so_many(one: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "AT_ONCE", 2)
    one.send("1", "2", "3")
    assert one.keeper.turn()
    assert not one.keeper.turn()
    assert one.read() == []


def test_records_of_a_node_that_has_died_are_read_by_another_one(one: Node, two: Node) -> None:
    one.send("1")
    assert two.read() == []
    one.dies()
    assert two.read() == [(b"1", "n1")]


def test_both_nodes_take_the_same_records_in_once(one: Node, two: Node) -> None:
    one.send("1")
    one.dies()
    batches = [two.reader.read(0), one.reader.read(0)]
    for node, batch in zip((two, one), batches, strict=True):
        assert len(batch.events) == 1
        node.store.take_in(batch.events, {}, 0, 0.0)
    assert one.store.states()[-1].waiting == 1


def test_open_associations_of_all_nodes(one: Node, two: Node) -> None:
    one.send("1", association="a1")
    two.send("2", association="b1")
    assert one.reader.open_associations() == {"a1", "b1"}
    one.send("3", association="a2")
    assert two.reader.open_associations() == {"a2", "b1"}
    one.writer.end_association()
    assert two.reader.open_associations() == {"b1"}
    two.dies()
    assert one.reader.open_associations() == set()


def test_leases_of_associations_are_renewed_while_their_workers_live(
    one: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.send("1")
    one.dies()
    assert one.reader.open_associations() == set()
    one.read()
    assert one.reader.open_associations() == {"a1"}
    one.store.renew_node(lambda pid: pid != os.getpid())
    assert one.reader.open_associations() == set()
    one.store.renew_node(lambda pid: True)
    assert one.reader.open_associations() == set(), "another process has got the number of the dead one"


def test_a_study_waits_for_an_association_of_another_node(one: Node, two: Node) -> None:
    one.keeper._timeout = two.keeper._timeout = 2 * clock.SECOND
    one.send("1")
    one.keeper.turn()
    one.store._db.change("UPDATE studies SET last = last - %s", 5 * clock.SECOND)
    two.keeper.turn()
    assert len(two.store.quiet(1 << 62)) == 1
    one.writer.end_association()
    two.keeper.turn()
    assert two.store.quiet(1 << 62) == []


def test_a_study_waits_for_records_that_another_node_has_not_taken_in(one: Node, two: Node) -> None:
    """The association that has sent them has ended already."""
    one.send("1")
    one.keeper.turn()
    one.store._db.change("UPDATE studies SET last = last - %s", 5 * clock.SECOND)
    one.send("2")
    one.writer.end_association()
    two.keeper.turn()
    assert len(two.store.quiet(1 << 62)) == 1
    one.keeper.turn()
    two.keeper.turn()
    assert two.store.quiet(1 << 62) == []
    assert one.store._rows("SELECT revision, upto FROM completions") == [(1, 2)]


def test_a_damaged_record_is_put_aside(one: Node, caplog: pytest.LogCaptureFixture) -> None:
    one.writer.append(b"nonsense", b"a1")
    one.send("1")
    assert one.read() == one.read() == [(b"1", "n1")]
    assert one.store._rows("SELECT record FROM damaged") == [(b"nonsense",)]
    assert len([line for line in caplog.messages if "is damaged" in line]) == 1


def test_a_connection_that_was_closed_is_made_again(one: Node, postgresql: str) -> None:
    one.send("1")
    with psycopg.connect(postgresql, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE query LIKE '%.journal (id%' "
            "AND pid != pg_backend_pid()"
        )
    one.send("2")
    assert [uid for uid, _ in one.read()] == [b"1", b"2"]


def test_a_statement_that_fails_is_told(one: Node, caplog: pytest.LogCaptureFixture) -> None:
    one.store._db.change("ALTER TABLE journal RENAME TO gone")
    with pytest.raises(StorageError):
        one.send("1")
    assert "does not exist" in caplog.messages[0]
    one.store._db.change("ALTER TABLE gone RENAME TO journal")
    one.send("1")
    assert [uid for uid, _ in one.read()] == [b"1"]


def test_marks_and_unfinished_studies_see_what_is_not_taken_in(one: Node) -> None:
    before = one.store.moment(1)
    one.send("1")
    at = one.store.moment(1)
    assert one.store.last_taken_in(at) is None
    assert one.store.last_taken_in(before) == 0
    assert one.store.unfinished() == {"1.2"}
    one.keeper.turn()
    last = one.store.last_taken_in(at)
    assert last is not None
    assert one.store.waits("index", last)
    assert not one.store.waits("index", last - 1)
    assert not one.store.waits("other", last)


def test_a_mark_waits_for_what_any_node_has_acknowledged(one: Node, two: Node) -> None:
    """The request for storage commitment may come to another node than the instances."""
    one.send("1")
    at = two.store.moment(1)
    assert two.store.last_taken_in(at) is None
    two.keeper.turn()
    assert two.store.last_taken_in(at) is None
    one.send("2")
    one.keeper.turn()
    assert two.store.last_taken_in(at) == 2


def test_values_that_are_too_long_for_an_index_hold_up_nothing(one: Node) -> None:
    one.store.add_queues([Queue("actions", "series_completed")])
    noise = (Random(number).randbytes(LONGEST_VALUE).replace(b"\0", b"x") for number in range(4))
    first, one_series, second, other_series = (each.decode("utf-8", "surrogateescape") for each in noise)
    one.writer.make_room()
    for study, series in ((first, one_series), (second, other_series), (first, other_series)):
        one.writer.append(record("1", study=study, series=series), b"a1")
    one.keeper.turn()
    assert one.read() == []
    number = one.store.number_of(QUEUES[0])
    assert number is not None
    claims = [one.store.claim(number, "p", one.store.now()) for _ in range(2)]
    assert sorted(len(one.store.next_many(each, 9)) for each in claims if each) == [1, 2]


def test_each_connection_notices_a_host_that_is_gone(one: Node) -> None:
    one.send("1")
    assert one.writer._connection is not None
    for connection in (one.store._db.connection, one.writer._connection):
        parameters = connection.info.get_parameters()
        assert (
            parameters.items() >= {"connect_timeout": "5", "tcp_user_timeout": "20000", "keepalives_idle": "5"}.items()
        )
