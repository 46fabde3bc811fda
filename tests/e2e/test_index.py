"""The installed package dcmrecv-index, on SQLite and on PostgreSQL.

The index has exactly the acknowledged instances, even if senders repeat some, and a worker and the delivery process are
killed.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import groupby
from pathlib import Path
from runpy import run_path
from typing import Any

import psycopg
import pytest

from dcmrecv_core.testing import until
from support.data.datasets import element
from support.data.stored_files import stored_file
from support.paths import ROOT
from support.programs.environment import make_site
from support.programs.postgresql import postgresql_server
from support.programs.receivers import Receiver, Start, run
from support.promises.strace import FLUSHING, WRITING, parse, traced
from support.protocol.pdus import store_rq
from support.protocol.raw_sender import RawAssociation, associate_at_last
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE

SENDERS = 8
INSTANCES = 100
"""What each sender sends."""
REPEATED = 20
"""One in so many was sent before: 5 %."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, program: Path) -> Path:
    return make_site(tmp_path_factory.mktemp("site"), program, ROOT / "plugins" / "dcmrecv-index")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, directory: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{directory}/index.sqlite"
    else:
        with postgresql_server() as url:
            yield url


def rows_of(url: str, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query of the index; none before it has tables."""
    try:
        if url.startswith("sqlite"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
                return database.execute(query).fetchall()
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            return connection.execute(query.encode()).fetchall()
    except (sqlite3.OperationalError, psycopg.errors.UndefinedTable):
        return []


def execute(url: str, statement: str) -> None:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database, database:
            database.execute(statement)
    else:
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            connection.execute(statement.encode())


def uid_of(sender: int, number: int) -> str:
    """The `number`-th instance of `sender`; each twentieth is the one that it sent five instances ago."""
    repeated = (sender * INSTANCES + number) % REPEATED == REPEATED - 1
    return f"1.2.3.{sender}.{number - 5 if repeated else number}"


def data_of(sender: int, number: int) -> bytes:
    """A CT image with a sender's own patient and study, in one of two series."""
    return b"".join(
        (
            element(0x00080005, "CS", b"ISO_IR 100"),
            element(0x00080016, "UI", CT.encode()),
            element(0x00080018, "UI", uid_of(sender, number).encode()),
            element(0x00080020, "DA", b"20200102"),
            element(0x00100010, "PN", b"M\xfcller^Zo\xeb"),
            element(0x00100020, "LO", b"P%d" % sender),
            element(0x0020000D, "UI", b"1.2.4.%d" % sender),
            element(0x0020000E, "UI", b"1.2.4.%d.%d" % (sender, number % 2)),
            element(0x7FE00010, "OW", bytes(512)),
        )
    )


def associate(receiver: Receiver) -> RawAssociation:
    """An association; it is proposed again if it is rejected because workers for eight senders are not there yet."""
    return associate_at_last(receiver.port, [(CT, [EXPLICIT_LE])], lambda: receiver.log)


def send_all(receiver: Receiver, sender: int, accidents: dict[int, Callable[[RawAssociation], None]]) -> set[str]:
    """Send a sender's instances, in a new association if one breaks, until all are acknowledged.

    `accidents`: what happens in the middle of the instances with these numbers.
    """
    acknowledged = set()
    number = 0
    while number < INSTANCES:
        with associate(receiver) as association:
            while number < INSTANCES:
                uid, data = uid_of(sender, number), data_of(sender, number)
                if number in accidents:
                    association.request(store_rq(CT, uid), data[:100], last=False)
                    accidents.pop(number)(association)
                    break
                assert association.store(CT, uid, data) == 0
                acknowledged.add(uid)
                number += 1
            else:
                association.release()
    return acknowledged


def deliverers_of(receiver: Receiver) -> list[int]:
    """The process ids that the index's delivery process has had."""
    return [
        int(pid) for pid in re.findall(r"delivery process of index/default: started \(process (\d+)\)", receiver.log)
    ]


def locations(url: str) -> dict[str, str]:
    """The file of each instance that is in the index."""
    return dict(rows_of(url, "SELECT sop_instance_uid, location FROM instances"))  # type: ignore[arg-type]


def contents(url: str) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables, without the time of patients, studies and series: it is that of the instance that was
    indexed last, which need not be the one that was received last if a delivery process was killed."""
    tables = ("patients", "studies", "series", "instances")
    rows = {name: rows_of(url, f"SELECT * FROM {name}") for name in tables}
    return {name: sorted((row if name == "instances" else row[:-1] for row in rows[name]), key=repr) for name in tables}


def test_exactly_what_was_acknowledged(ours: Start, site: Path, url: str) -> None:
    receiver = ours("-v", "--no-fsync", "--plugin", "index", "--index-url", url, program=site)

    def kill_worker(association: RawAssociation) -> None:
        os.kill(receiver.worker_serving(association.local_port), signal.SIGKILL)

    def kill_deliverer(association: RawAssociation) -> None:
        until(lambda: locations(url), "the first rows", log=lambda: receiver.log)
        os.kill(deliverers_of(receiver)[-1], signal.SIGKILL)

    accidents = {2: {40: kill_worker}, 5: {50: kill_deliverer}}
    with ThreadPoolExecutor(SENDERS) as pool:
        sets = pool.map(lambda sender: send_all(receiver, sender, accidents.get(sender, {})), range(SENDERS))
        acknowledged = set().union(*sets)

    assert len(acknowledged) == SENDERS * INSTANCES * (REPEATED - 1) // REPEATED
    until(lambda: locations(url).keys() >= acknowledged, "all in the index", 60, lambda: receiver.log)
    assert len(deliverers_of(receiver)) == 2
    assert "killed by signal 9" in receiver.log
    assert locations(url) == {uid: str(receiver.output / f"CT.{uid}") for uid in acknowledged}
    assert receiver.files() == sorted(f"CT.{uid}" for uid in acknowledged)

    assert receiver.stop() == 0
    before = contents(url)
    assert {name: len(rows) for name, rows in before.items() if name != "instances"} == {
        "patients": SENDERS,
        "studies": SENDERS,
        "series": 2 * SENDERS,
    }
    assert {row[2] for row in before["patients"]} == {"M\u00fcller^Zo\u00eb"}
    check_commands(site.with_name("dcmrecv-index"), url, receiver, before)


def check_commands(program: Path, url: str, receiver: Receiver, before: dict[str, list[tuple[object, ...]]]) -> None:
    """A rescan finds nothing new and nothing gone; `find` gives what is on the disk."""
    done = run(program, "rescan", "--prune", "--url", url, receiver.output)
    assert done.returncode == 0, done.stderr
    assert contents(url) == before

    command = ("find", "--url", url, "--patient-id", "P3", "--level", "instance", "--json")
    done = run(program, *command)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row["sop_instance_uid"] for row in rows} == {uid_of(3, number) for number in range(INSTANCES)}
    assert {(row["calling_ae_title"], row["peer_address"]) for row in rows} == {("RAWSCU", "127.0.0.1")}
    assert {row["size"] for row in rows} == {len(stored_file(Path(row["location"])).data) for row in rows}


def steps_of(trace: Path) -> list[str]:
    """What a delivery process has done to the index and to the receiver's queue, repetitions left out."""
    steps = {
        **{("index.sqlite-wal", call): "write" for call in WRITING},
        **{("index.sqlite-wal", call): "flush" for call in FLUSHING},
        **{("delivery.sqlite-wal", call): "done" for call in WRITING},
    }
    found = [steps.get((Path(call.path).name, call.name)) for call in parse(trace)]
    return [step for step, _ in groupby(filter(None, found))]


def test_what_is_delivered_is_on_the_disk(ours: Start, site: Path, directory: Path) -> None:
    """A power cut afterwards takes nothing from the index."""
    receiver = ours("-v", "--no-fsync", "--plugin", "index", program=site)
    url = f"sqlite:///{receiver.output}/.dcmrecv/index.sqlite"
    until(lambda: rows_of(url, "SELECT version FROM schema_version"), "the index", log=lambda: receiver.log)
    trace = directory / "trace"
    with traced(deliverers_of(receiver), trace):
        with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
            assert association.store(CT, "1.2.3.1", odd_data(1, b"")) == 0
            association.release()
        until(lambda: "write" in steps_of(trace) and steps_of(trace)[-1] == "done", "it is delivered")
    steps = steps_of(trace)
    assert steps[steps.index("write") :] == ["write", "flush", "done"]
    assert receiver.stop() == 0


NO_CHARACTER_SETS = (b"hex ", b"idna", b"base64", b"UNDEFINED ", b"rot13 ", b"NO SUCH SET ", b"I\0O_IR 100", b"")


def odd_data(number: int, character_set: bytes) -> bytes:
    return b"".join(
        (
            element(0x00080005, "CS", character_set),
            element(0x00080016, "UI", CT.encode()),
            element(0x00080018, "UI", b"1.2.3.%d\0" % number),
            element(0x00100010, "PN", b"J\xfcrg"),
            element(0x00100020, "LO", b"P1"),
            element(0x0020000D, "UI", b"1.2.4\0"),
            element(0x0020000E, "UI", b"1.2.4.1\0"),
        )
    )


def test_records_that_cannot_be_indexed_hold_up_no_others(ours: Start, site: Path, url: str, directory: Path) -> None:
    """A record of an earlier version that no database accepts, undefined character sets, an instance of another
    patient."""
    state = directory / "state"
    queue = state / "index-queue"
    queue.mkdir(parents=True)
    poison = ["1.2.666", CT, IMPLICIT_LE, "/archive/poison", 2**70, 1, {}]
    (queue / "1-1.jsonl").write_text(json.dumps(poison) + "\n")
    receiver = ours("-v", "--no-fsync", "--state-dir", state, "--plugin", "index", "--index-url", url, program=site)
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        for number, character_set in enumerate(NO_CHARACTER_SETS):
            assert association.store(CT, f"1.2.3.{number}", odd_data(number, character_set)) == 0
        stray = odd_data(99, b"").replace(b"P1", b"P2")
        assert association.store(CT, "1.2.3.99", stray) == 0
        association.release()

    uids = {f"1.2.3.{number}" for number in (*range(len(NO_CHARACTER_SETS)), 99)}
    until(lambda: locations(url).keys() == uids, "all in the index", log=lambda: receiver.log)
    for line in (
        f"a line of {queue}/1-1.jsonl is not indexed",
        f"SOP instance 1.2.3.99 in file {receiver.output}/CT.1.2.3.99 says patient 'P2'",
    ):
        until(lambda line=line: line in receiver.log, f"a line {line!r}", log=lambda: receiver.log)  # type: ignore[misc]
    assert "1.2.666" in (state / "index-put-aside.jsonl").read_text()
    assert not queue.exists()
    assert len(deliverers_of(receiver)) == 1
    assert receiver.stop() == 0
    before = contents(url)
    assert {row[2] for row in before["patients"] if row[0] == "P1"} == {"J\u00fcrg"}
    assert [row[1] for row in before["studies"]] == ["P1"]

    program = site.with_name("dcmrecv-index")
    done = run(program, "rescan", "--prune", "--url", url, receiver.output)
    assert done.returncode == 0, done.stderr
    assert contents(url) == before
    done = run(program, "find", "--url", url, "--level", "conflict", "--json")
    assert [(row["patient_id"], row["other_patient_id"]) for row in json.loads(done.stdout)] == [("P1", "P2")]


def test_a_study_that_is_sent_again_with_a_corrected_patient_id(ours: Start, site: Path, url: str) -> None:
    """It is moved when all of its instances have come."""

    def patients() -> list[tuple[str, int]]:
        question = "SELECT patient_id, (SELECT COUNT(*) FROM conflicts) FROM studies WHERE study_instance_uid = '1.2.4'"
        return rows_of(url, question)

    receiver = ours("-v", "--no-fsync", "--plugin", "index", "--index-url", url, program=site)
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:

        def store(patient: bytes, *numbers: int) -> None:
            for number in numbers:
                data = odd_data(number, b"").replace(b"P1", patient)
                assert association.store(CT, f"1.2.3.{number}", data) == 0

        store(b"P1", 1, 2, 3)
        until(lambda: len(locations(url)) == 3, "all in the index", log=lambda: receiver.log)
        store(b"P2", 1, 2)
        until(lambda: patients() == [("P1", 2)], "two conflicts", log=lambda: receiver.log)
        store(b"P2", 3)
        until(lambda: patients() == [("P2", 0)], "the study has moved", log=lambda: receiver.log)
        association.release()
    assert receiver.stop() == 0


def test_a_database_of_the_version_before_is_migrated(ours: Start, site: Path, url: str) -> None:
    """By the receiver; what it stores then has a sender."""
    old = run_path(str(ROOT / "plugins" / "dcmrecv-index" / "tests" / "old_version.py"))
    for statement in (*old["old_statements"](), *old["old_inserts"]()):
        execute(url, statement)
    receiver = ours("-v", "--no-fsync", "--plugin", "index", "--index-url", url, program=site)
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        assert association.store(CT, "1.2.3.1", odd_data(1, b"")) == 0
        association.release()
    until(lambda: "1.2.3.1" in locations(url), "the instance is in the index", log=lambda: receiver.log)
    assert receiver.stop() == 0
    senders = rows_of(url, "SELECT sop_instance_uid, calling_ae_title FROM instances ORDER BY 1")
    assert senders == [("1.1", None), ("1.2", None), ("1.2.3.1", "RAWSCU")]
    assert rows_of(url, "SELECT version FROM schema_version") == [(3,)]
