"""What waits in the queue of an earlier version is taken over once; of two lines the later one counts."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from old_version import line, old_database, queue_file

from dcmrecv_core.testing import fake_event
from dcmrecv_index import old_queue
from dcmrecv_index.conflicts import Warnings
from dcmrecv_index.database import Database, connect
from dcmrecv_index.deliveries import Deliveries


def locations(database: Database) -> dict[str, str]:
    return dict(database.execute("SELECT sop_instance_uid, location FROM instances"))


@pytest.fixture
def take_over(database: Database, tmp_path: Path) -> Callable[[], dict[str, str]]:
    """Takes the queue in `tmp_path` over; returns the instances and their locations."""

    def run() -> dict[str, str]:
        old_queue.take_over(database, tmp_path, Warnings())
        return locations(database)

    return run


TakeOver = Callable[[], dict[str, str]]


def test_the_whole_upgrade(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Lines that are in the database already are not read again, nor is one of which the writer was killed."""
    caplog.set_level(logging.INFO)
    old_database(tmp_path / "index.sqlite")
    done = line("1.1", location="/pruned since")
    path = queue_file(tmp_path, "17-77-1-boot.4", [done, line("1.3"), line("1.4")[:-5]])
    with closing(connect(tmp_path / "index.sqlite")) as database:
        for name, position in ((path.name, len(done)), ("of another receiver.jsonl", 7)):
            values = {"name": name, "position": position}
            database.execute("INSERT INTO queue_positions VALUES (:name, :position)", values)
    for _ in range(2):
        deliveries = Deliveries(tmp_path / "index.sqlite", tmp_path)
        deliveries.index([fake_event()])
        deliveries.close()
    with closing(connect(tmp_path / "index.sqlite")) as database:
        found = locations(database)
        assert found.keys() == {"1.1", "1.2", "1.3", fake_event().sop_instance_uid}
        assert (found["1.1"], found["1.3"]) == ("/archive/1.1", "/archive/1.3")
    assert not (tmp_path / "index-queue").exists()
    assert caplog.messages == ["1 instances taken over from the queue of an earlier version"]


def test_the_order_of_several_workers(tmp_path: Path, take_over: TakeOver) -> None:
    """Each wrote to a file of its own; the file that was begun first has the line that was written last."""
    queue_file(tmp_path, "100-1-1-boot.4", [line("1", location="/1"), line("1", location="/4", received=400)])
    queue_file(
        tmp_path, "200-2-2-boot.4", [line("1", location="/2", received=200), line("1", location="/3", received=300)]
    )
    assert take_over() == {"1": "/4"}


BAD_LINES = {
    "empty": b"\n",
    "not JSON": b"rubbish\n",
    "not UTF-8": b"\xff\xfe\n",
    "another JSON": b"[1, 2]\n",
    "nested too deeply": b"[" * 100_000 + b"\n",
    "a number that no column takes": line("1.6").replace(b",10,", b",%d," % 2**70),
    "text that is no bytes": line("1.6", PatientID="\u0416"),
    "a value that is no text": line("1.6").replace(b'"4711"', b"4711"),
}


@pytest.mark.parametrize("bad", BAD_LINES.values(), ids=BAD_LINES)
def test_fault_7_lines_that_cannot_be_indexed_are_kept(
    tmp_path: Path, take_over: TakeOver, bad: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """With those that were put aside before; others are taken over."""
    path = queue_file(tmp_path, "100-1-1-boot.4", [line("1.1"), bad, line("1.3")])
    queue_file(tmp_path, "put-aside", [b'{"line": "before"}\n'])
    assert take_over().keys() == {"1.1", "1.3"}
    aside = tmp_path / "index-put-aside.jsonl"
    before, entry = [json.loads(text) for text in aside.read_text().splitlines()]
    assert before == {"line": "before"}
    assert entry["line"].encode("latin-1") == bad
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    [message] = caplog.messages
    assert message.startswith(f"a line of {path} is not indexed: ")
    assert "4711" not in message
    assert not path.parent.exists()


def test_a_process_that_is_killed_loses_nothing(
    tmp_path: Path, database: Database, take_over: TakeOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_file(tmp_path, "100-1-1-boot.4", [line("1.1"), line("1.2")])

    def killed(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(old_queue, "_put_aside", killed)
        with pytest.raises(SystemExit):
            take_over()
    assert locations(database) == {}
    with monkeypatch.context() as patch:
        patch.setattr(Warnings, "warn", killed)
        with pytest.raises(SystemExit):
            take_over()
    assert len(locations(database)) == 2
    assert len(take_over()) == 2
    assert not (tmp_path / "index-queue").exists()


def test_other_things_in_its_directory_are_left_alone(tmp_path: Path, take_over: TakeOver) -> None:
    path = queue_file(tmp_path, "100-1-1-boot.4", [line("1.1")])
    (path.parent / "notes.txt").touch()
    for _ in range(2):
        assert len(take_over()) == 1
    assert [path.name for path in path.parent.iterdir()] == ["notes.txt"]


def test_without_a_queue_nothing_happens(tmp_path: Path, take_over: TakeOver) -> None:
    assert take_over() == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == [".dcmrecv"]
