"""The installed package dcmrecv-index, on SQLite and on PostgreSQL.

The index has exactly the acknowledged instances, even if senders repeat some, and a worker and the process that feeds
the database are killed.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from dcmrecv_core.testing import until
from support.data.datasets import element
from support.data.stored_files import stored_file
from support.paths import ROOT
from support.programs.environment import make_site
from support.programs.postgresql import postgresql_server
from support.programs.receivers import Receiver, Start, run
from support.protocol.pdus import store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE

LOCAL_LIMIT = bytes((0, 2, 3, 2)).hex()
"""Rejected transient, local limit exceeded (PS3.8 section 9.3.4)."""

SENDERS = 8
INSTANCES = 250
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


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


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

    def accepted() -> RawAssociation | None:
        try:
            return RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])])
        except AssertionError as error:
            assert LOCAL_LIMIT in str(error), error
            return None

    return until(accepted, "an association", log=lambda: receiver.log)


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


def background_of(receiver: Receiver) -> list[int]:
    """The process ids that the index's background child has had."""
    return [int(pid) for pid in re.findall(r"background of plugin index: started \(process (\d+)\)", receiver.log)]


def locations(engine: Engine) -> dict[str, str]:
    """The file of each instance that is in the index."""
    try:
        with engine.connect() as connection:
            rows = connection.execute(text("SELECT sop_instance_uid, location FROM instances")).all()
    except (OperationalError, ProgrammingError):
        return {}
    return {row.sop_instance_uid: row.location for row in rows}


def contents(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables."""
    with engine.connect() as connection:
        tables = ("patients", "studies", "series", "instances")
        return {name: sorted(map(tuple, connection.execute(text(f"SELECT * FROM {name}")))) for name in tables}


def test_exactly_what_was_acknowledged(ours: Start, site: Path, url: str, engine: Engine) -> None:
    receiver = ours("-v", "--no-fsync", "--plugin", "index", "--index-url", url, program=site)

    def kill_worker(association: RawAssociation) -> None:
        os.kill(receiver.worker_serving(association.local_port), signal.SIGKILL)

    def kill_background(association: RawAssociation) -> None:
        until(lambda: locations(engine), "the first rows", log=lambda: receiver.log)
        os.kill(background_of(receiver)[-1], signal.SIGKILL)

    accidents = {2: {100: kill_worker}, 5: {120: kill_background}}
    with ThreadPoolExecutor(SENDERS) as pool:
        sets = pool.map(lambda sender: send_all(receiver, sender, accidents.get(sender, {})), range(SENDERS))
        acknowledged = set().union(*sets)

    assert len(acknowledged) == SENDERS * INSTANCES * (REPEATED - 1) // REPEATED
    until(lambda: locations(engine).keys() >= acknowledged, "all in the index", log=lambda: receiver.log)
    assert len(background_of(receiver)) == 2
    assert "killed by signal 9" in receiver.log
    assert locations(engine) == {uid: str(receiver.output / f"CT.{uid}") for uid in acknowledged}
    assert receiver.files() == sorted(f"CT.{uid}" for uid in acknowledged)

    assert receiver.stop() == 0
    before = contents(engine)
    assert {name: len(rows) for name, rows in before.items() if name != "instances"} == {
        "patients": SENDERS,
        "studies": SENDERS,
        "series": 2 * SENDERS,
    }
    assert {row[2] for row in before["patients"]} == {"M\u00fcller^Zo\u00eb"}
    check_commands(site.with_name("dcmrecv-index"), url, receiver, before, engine)


def check_commands(
    program: Path, url: str, receiver: Receiver, before: dict[str, list[tuple[object, ...]]], engine: Engine
) -> None:
    """A rescan finds nothing new and nothing gone; `find` gives what is on the disk."""
    done = run(program, "rescan", "--prune", "--url", url, receiver.output)
    assert done.returncode == 0, done.stderr
    assert contents(engine) == before

    command = ("find", "--url", url, "--patient-id", "P3", "--level", "instance", "--json")
    done = run(program, *command)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row["sop_instance_uid"] for row in rows} == {uid_of(3, number) for number in range(INSTANCES)}
    assert {row["size"] for row in rows} == {len(stored_file(Path(row["location"])).data) for row in rows}


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


def test_records_that_cannot_be_indexed_hold_up_no_others(ours: Start, site: Path, url: str, engine: Engine) -> None:
    """Undefined character sets, a record that no database accepts, and an instance of another patient."""
    receiver = ours("-v", "--no-fsync", "--plugin", "index", "--index-url", url, program=site)
    queue = receiver.output / ".dcmrecv" / "index-queue"
    queue.mkdir(parents=True)
    poison = ["1.2.666", CT, IMPLICIT_LE, "/archive/poison", 2**70, 1, {}]
    (queue / "1-1.jsonl").write_text(json.dumps(poison) + "\n")
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        for number, character_set in enumerate(NO_CHARACTER_SETS):
            assert association.store(CT, f"1.2.3.{number}", odd_data(number, character_set)) == 0
        stray = odd_data(99, b"").replace(b"P1", b"P2")
        assert association.store(CT, "1.2.3.99", stray) == 0
        association.release()

    uids = {f"1.2.3.{number}" for number in (*range(len(NO_CHARACTER_SETS)), 99)}
    until(lambda: locations(engine).keys() == uids, "all in the index", log=lambda: receiver.log)
    for line in (
        "SOP instance 1.2.666 in file /archive/poison is not indexed",
        f"SOP instance 1.2.3.99 in file {receiver.output}/CT.1.2.3.99 says patient 'P2'",
    ):
        until(lambda line=line: line in receiver.log, f"a line {line!r}", log=lambda: receiver.log)  # type: ignore[misc]
    assert (queue / "put-aside.jsonl").exists()
    assert len(background_of(receiver)) == 1
    assert receiver.stop() == 0
    before = contents(engine)
    assert {row[2] for row in before["patients"] if row[0] == "P1"} == {"J\u00fcrg"}
    assert [row[1] for row in before["studies"]] == ["P1"]

    program = site.with_name("dcmrecv-index")
    done = run(program, "rescan", "--prune", "--url", url, receiver.output)
    assert done.returncode == 0, done.stderr
    assert contents(engine) == before
    done = run(program, "find", "--url", url, "--level", "conflict", "--json")
    assert [(row["patient_id"], row["other_patient_id"]) for row in json.loads(done.stdout)] == [("P1", "P2")]


def test_a_study_that_is_sent_again_with_a_corrected_patient_id(
    ours: Start, site: Path, url: str, engine: Engine
) -> None:
    """It is moved when all of its instances have come."""

    def patients() -> list[tuple[str, int]]:
        question = "SELECT patient_id, (SELECT COUNT(*) FROM conflicts) FROM studies WHERE study_instance_uid = '1.2.4'"
        with engine.connect() as connection:
            return list(map(tuple, connection.execute(text(question))))  # type: ignore[arg-type]

    receiver = ours("-v", "--no-fsync", "--plugin", "index", "--index-url", url, program=site)
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:

        def store(patient: bytes, *numbers: int) -> None:
            for number in numbers:
                data = odd_data(number, b"").replace(b"P1", patient)
                assert association.store(CT, f"1.2.3.{number}", data) == 0

        store(b"P1", 1, 2, 3)
        until(lambda: len(locations(engine)) == 3, "all in the index", log=lambda: receiver.log)
        store(b"P2", 1, 2)
        until(lambda: patients() == [("P1", 2)], "two conflicts", log=lambda: receiver.log)
        store(b"P2", 3)
        until(lambda: patients() == [("P2", 0)], "the study has moved", log=lambda: receiver.log)
        association.release()
    assert receiver.stop() == 0
