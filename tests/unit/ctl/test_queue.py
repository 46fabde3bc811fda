"""`dcmrecvctl queue` on a store without a receiver."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dcmrecv_core.ctl.main import main
from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.delivery.store import Queue
from support.deliveries import event

A, STUDIES = Queue("forward", "a"), Queue("actions", "study_completed")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """One event is put aside, one waits, one study is complete; and one waits in a queue that no plugin claims."""
    directory = tmp_path / "state"
    directory.mkdir()
    store = SqliteStore.open(str(directory))
    store.begin([Queue("old", "default")], 0)
    store.take_in([event("e0")], {}, 0, 0.0)
    store.begin([A, STUDIES], 0)
    store.take_in([event("e1"), event("e2")], {}, 0, 0.0)
    number = store.number_of(A)
    assert number is not None
    claim = store.claim(number, "p", 0)
    assert claim is not None
    item = store.next(claim)
    assert item is not None
    store.put_aside(claim, item, "no such\npatient")
    store.release(claim, 0)
    store.complete(store.quiet(1 << 62)[0])
    store.close()
    return directory


def run(state: Path, *arguments: str) -> int:
    return main(["queue", *arguments, "--state-dir", str(state)])


def waiting(state: Path) -> dict[str, tuple[int, int]]:
    store = SqliteStore.open(str(state), make=False)
    found = {str(each.queue): (each.waiting, each.put_aside) for each in store.states()}
    store.close()
    return found


def test_list(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(state, "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "queue"
    assert [line.split()[:5] for line in lines[1:4]] == [
        ["actions/study_completed", "1", "0", "0", "0"],
        ["forward/a", "1", "0", "0", "1"],
        ["old/default", "1", "0", "0", "0"],
    ]
    assert lines[3].endswith("(no plugin claims it)")
    assert lines[5] == "put aside:"
    assert lines[6].startswith("  forward/a  e1  2")
    assert lines[7] == "    study 1.2: no such\\npatient"
    assert len(lines) == 8


def test_list_as_json(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(state, "list", "--json", "--target", "forward/a") == 0
    listed = json.loads(capsys.readouterr().out)
    [queue] = listed["queues"]
    assert (queue["queue"], queue["waiting"], queue["put_aside"], queue["claimed"]) == ("forward/a", 1, 1, True)
    [aside] = listed["put_aside"]
    assert (aside["queue"], aside["id"], aside["reason"], aside["attempts"]) == (
        "forward/a",
        "e1",
        "no such\npatient",
        1,
    )


def test_retry(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(state, "retry", "e1") == 0
    assert capsys.readouterr().out == "1 retried\n"
    assert waiting(state)["forward/a"] == (2, 0)
    assert run(state, "retry", "--target", "forward/a") == 0


def test_drop(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(state, "drop", "--target", "forward/a", "e1") == 0
    assert waiting(state)["forward/a"] == (1, 0)
    assert run(state, "drop", "--target", "old/default") == 0
    assert "old/default" not in waiting(state)
    assert capsys.readouterr().out == "1 dropped\n1 dropped\n"


def test_replay(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(state, "replay", "--target", "forward/a", "--since", "2020-01-01") == 0
    assert capsys.readouterr().out == "2 events will be delivered again\n"
    assert waiting(state)["forward/a"] == (3, 1)
    assert run(state, "replay", "--target", "forward/a", "--since", "2999-01-01T08:30") == 0
    assert capsys.readouterr().out == "0 events will be delivered again\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["list", "--target", "forward/b"], "there is no queue forward/b; did you mean forward/a?"),
        (["list", "--target", "x"], "there is no queue x; there is actions/study_completed, forward/a, old/default"),
        (["retry", "e9"], "no delivery has the id e9"),
        (["drop", "--target", "forward/a", "e9"], "no delivery has the id e9"),
        (
            ["replay", "--target", "actions/study_completed", "--since", "2020-01-01"],
            "actions/study_completed is a queue of completed studies or series, which cannot be replayed",
        ),
    ],
)
def test_what_cannot_be_done(state: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str) -> None:
    assert run(state, *arguments) == 1
    assert capsys.readouterr().err == f"dcmrecvctl: {text}\n"


def test_without_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "list") == 1
    assert capsys.readouterr().err == f"dcmrecvctl: there is no {tmp_path}/delivery.sqlite\n"
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_time(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(state, "replay", "--target", "forward/a", "--since", "yesterday")
    assert "--since: yesterday is no time; 2026-11-01 or 2026-11-01T08:30 expected" in capsys.readouterr().err
