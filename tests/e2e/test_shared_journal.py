"""Receivers with one journal in PostgreSQL: what they confirm and deliver, and what happens without the database."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dcmrecv_core.testing import until
from support.programs.postgresql import PostgresqlServer, running_server
from support.programs.receivers import Receiver, run, start_ours
from support.promises.deliveries import NOTES, data_of, events, notes
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

CONTEXTS = [(CT, [EXPLICIT_LE])]

SITE = (
    NOTES
    + """\
@hookimpl
def write(instance, path):
    if (HOME / "elsewhere").exists():
        return f"demo://bucket/{instance.sop_instance_uid}"

@hookimpl
def deliver(event, target):
    note("begun", event.sop_instance_uid)
    while (HOME / "hangs").exists():
        time.sleep(0.05)
    note("event", target, event.id, event.sop_instance_uid, event.recovered)

@hookimpl
def study_completed(study, target):
    note("study", study.id, study.study_instance_uid, study.revision, len(study.instances))
"""
)

Node = Callable[..., Receiver]


@pytest.fixture
def server() -> Iterator[PostgresqlServer]:
    with running_server() as running:
        yield running


@pytest.fixture
def node(program: Path, tmp_path: Path, server: PostgresqlServer) -> Iterator[Node]:
    """Starts a receiver in a directory of its own."""
    started: list[Receiver] = []

    def start(name: str, *arguments: object) -> Receiver:
        home = tmp_path / name
        home.mkdir(exist_ok=True)
        (home / "site.py").write_text(SITE)
        (home / "site.toml").write_text('journal = { env = "JOURNAL" }\n')
        options = ("--settings", "site.toml", "-pm", "-v", "--plugin", "site.py", *arguments)
        started.append(start_ours(program, home, *options, env={"JOURNAL": server.url}))
        return started[-1]

    yield start
    for receiver in started:
        receiver.kill()


def store(receiver: Receiver, *uids: str, study: str = "1.2.3") -> list[int | None]:
    with RawAssociation(receiver.port, CONTEXTS) as association:
        statuses = [association.store(CT, uid, data_of(uid, study)) for uid in uids]
        association.release()
    return statuses


def delivered(receiver: Receiver) -> list[str]:
    """The instances; one that is delivered once more, by the same id, because the database went away, once."""
    return sorted({each.id: each.uid for each in events(receiver.directory)}.values())


def until_delivered(receiver: Receiver, *uids: str, seconds: float = 60.0) -> None:
    until(lambda: delivered(receiver) == sorted(uids), f"{uids} are delivered", seconds, log=lambda: receiver.log)


def test_local_files_are_delivered_by_their_node(node: Node) -> None:
    one, two = node("one"), node("two")
    assert store(one, "1.1", "1.2") == store(two, "2.1", "2.2") == [0, 0]
    until_delivered(one, "1.1", "1.2")
    until_delivered(two, "2.1", "2.2")
    assert one.stop() == two.stop() == 0


def test_work_of_a_node_that_dies_is_taken_over(node: Node, tmp_path: Path) -> None:
    """It dies in the middle of a call; its other record was not taken in yet, or waits after the first one."""
    one, two = node("one"), node("two")
    for home in (one.directory, two.directory):
        (home / "elsewhere").touch()
        (home / "hangs").touch()
    assert store(one, "1.1", "1.2") == [0, 0]
    hanging = until(lambda: [each for each in (one, two) if notes(each.directory, "begun")], "a delivery has begun")[0]
    [living] = [each for each in (one, two) if each is not hanging]
    assert store(hanging, "1.3", study="1.9") == [0]
    hanging.kill()
    (living.directory / "hangs").unlink()
    until_delivered(living, "1.1", "1.2", "1.3", seconds=60.0)
    assert living.stop() == 0


def test_a_study_over_two_nodes_is_completed_once(node: Node) -> None:
    one, two = node("one", "--study-timeout", 1), node("two", "--study-timeout", 1)
    for home in (one.directory, two.directory):
        (home / "elsewhere").touch()
    with RawAssociation(one.port, CONTEXTS) as association:
        assert association.store(CT, "1.1", data_of("1.1")) == 0
        assert store(two, "1.2") == [0]
        until(lambda: len(delivered(one) + delivered(two)) == 2, "both are delivered", log=lambda: one.log + two.log)
        association.release()

    def completed() -> list[list[str]]:
        return [each[1:-1] for home in (one, two) for each in notes(home.directory, "study")]

    until(completed, "the study is complete", log=lambda: one.log + two.log)
    assert completed() == [["1.2.3", "1", "2"]]
    assert one.stop() == two.stop() == 0


def test_without_the_database_nothing_is_confirmed(node: Node, server: PostgresqlServer) -> None:
    """Also while an association is open; both go on when it is back, without a restart."""
    receiver = node("one")
    with RawAssociation(receiver.port, CONTEXTS) as association:
        assert association.store(CT, "1.1", data_of("1.1")) == 0
        until_delivered(receiver, "1.1")
        server.stop()
        files = receiver.files()
        assert association.store(CT, "1.2", data_of("1.2")) == 0xA700
        assert store(receiver, "1.3") == [0xA700]
        assert receiver.files() == files, "nothing is stored that would not be delivered"
        assert "refused with status A700: The journal's database cannot be used\n" in receiver.log
        line = r"E: instances are refused until the journal's database can be used: .* Is the server running"
        assert re.search(line, receiver.log), receiver.log
        until(
            lambda: "deliveries wait until the journal's database" in receiver.log, "a line", log=lambda: receiver.log
        )
        server.start()
        assert association.store(CT, "1.2", data_of("1.2")) == 0
        association.release()
    until_delivered(receiver, "1.1", "1.2")
    assert receiver.stop() == 0


def test_a_database_that_does_not_answer(node: Node, server: PostgresqlServer) -> None:
    receiver = node("one")
    with RawAssociation(receiver.port, CONTEXTS) as association:
        assert association.store(CT, "1.1", data_of("1.1")) == 0
        server.signal(signal.SIGSTOP)
        try:
            assert association.store(CT, "1.2", data_of("1.2")) == 0xA700
        finally:
            server.signal(signal.SIGCONT)
        line = "instances are refused until the journal's database can be used: no answer within 10 s"
        assert line in receiver.log
        assert association.store(CT, "1.2", data_of("1.2")) == 0
        association.release()
    assert receiver.stop() == 0


def test_queues_of_a_shared_journal(node: Node) -> None:
    receiver = node("one")
    (receiver.directory / "hangs").touch()
    assert store(receiver, "1.1") == [0]
    until(lambda: notes(receiver.directory, "begun"), "a delivery has begun", log=lambda: receiver.log)
    command = [sys.executable, "-c", "import sys; from dcmrecv_core.ctl.main import main; sys.exit(main())"]
    done = run(*command, "queue", "list", "--state-dir", receiver.output / ".dcmrecv", env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "site/default" in done.stdout
    (receiver.directory / "hangs").unlink()
    until_delivered(receiver, "1.1")


def test_a_copied_state_directory_is_refused(
    node: Node, program: Path, tmp_path: Path, server: PostgresqlServer
) -> None:
    """Two nodes of one name would deliver each other's files, which they do not have. The receiver itself may start
    again at once."""
    one = node("one")
    one.kill()
    one = node("one")
    copy = tmp_path / "copy" / "out" / ".dcmrecv"
    copy.mkdir(parents=True)
    shutil.copy(one.output / ".dcmrecv" / "node", copy)
    (tmp_path / "site.py").write_text(SITE)
    arguments = ("-od", copy.parent, "--plugin", "site.py", "--journal", server.url, "11112")
    done = run(program, *arguments, cwd=tmp_path, timeout=90)
    assert done.returncode == 1
    assert "W: another receiver has the name of this node, waiting until it ends\n" in done.stderr + done.stdout
    assert f"another receiver has the same {copy}/node: if the state directory was copied" in done.stderr
    assert store(one, "1.1") == [0]
    until_delivered(one, "1.1")


def test_a_database_that_cannot_be_reached_ends_the_start(program: Path, tmp_path: Path) -> None:
    (tmp_path / "site.py").write_text(SITE)
    (tmp_path / "out").mkdir()
    url = f"postgresql://dcmrecv:geheim@/x?host={tmp_path}"
    done = run(program, "-od", "out", "--plugin", "site.py", "--journal", url, "11112", cwd=tmp_path)
    assert done.returncode == 1
    assert "the store of deliveries cannot be used: PostgreSQL: " in done.stderr
    assert "Is the server running locally" in done.stderr
    assert "geheim" not in done.stderr + done.stdout
