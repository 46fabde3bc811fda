"""What one peer's thread does in a turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dcmrecv_commitment import work
from dcmrecv_commitment.evaluation import Verdict
from dcmrecv_commitment.folder import Folder
from dcmrecv_commitment.peers import Peer, Route
from dcmrecv_commitment.reports import NotReported
from dcmrecv_commitment.requests import Asked, Reference
from dcmrecv_commitment.work import Answering
from dcmrecv_core import PluginSettings

ROUTE = Route(Peer("CT1", "ct1", 104), None)


class Mark:
    """Passed as soon as it is asked."""

    passed = True

    def __init__(self, state_directory: Path, plugin: str) -> None:
        assert plugin == "index"

    def is_passed(self) -> bool:
        return self.passed


class Peers:
    """What the peer gets; `reports` of these transactions fail."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.asked: list[str] = []
        self.reached = 0

    def report(self, route: Route, asked: Asked, verdict: Verdict) -> int:
        self.asked.append(asked.transaction_uid)
        if asked.transaction_uid in self.failing:
            raise NotReported("it is down")
        return 0

    def reach(self, route: Route, called: str) -> None:
        self.reached += 1


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Peers:
    made = Peers()
    monkeypatch.setattr(work, "report", made.report)
    monkeypatch.setattr(work, "reach", made.reach)
    monkeypatch.setattr(work, "DeliveryMark", Mark)
    monkeypatch.setattr(Mark, "passed", True)
    monkeypatch.setattr("threading.Thread.start", lambda thread: None)
    verdict: Any = lambda self, asked, duplicate: Verdict(list(asked.references), [])  # noqa: E731
    monkeypatch.setattr("dcmrecv_commitment.evaluation.Evaluation.verdict", verdict)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "commitment")


@pytest.fixture
def answering(tmp_path: Path, folder: Folder) -> Answering:
    settings = PluginSettings(state_directory=tmp_path, all_options={"index": {"index_url": None}})
    return Answering(settings, ROUTE, folder)


def keep(folder: Folder, *transactions: str) -> list[str]:
    """The names of their files, the oldest first."""
    return [folder.keep(Asked("CT1", "ARCHIVE", each, (Reference("1.2", "1.2.3"),))) for each in transactions]


def test_one_that_is_gone_meanwhile(answering: Answering, folder: Folder, peers: Peers) -> None:
    names = keep(folder, "9.1", "9.2")
    answering._turn(names)
    answering._turn(names)
    assert peers.asked == ["9.1", "9.2"]
    assert folder.by_title() == {}


def test_one_that_fails_comes_last_and_the_peer_is_reached_first(
    answering: Answering, folder: Folder, peers: Peers
) -> None:
    names = keep(folder, "9.1", "9.2", "9.3")
    peers.failing = {"9.1"}
    with pytest.raises(NotReported):
        answering._turn(names)
    answering._put_off("it is down")
    assert peers.reached == 0
    with pytest.raises(NotReported):
        answering._turn(names)
    assert (peers.asked, peers.reached) == (["9.1", "9.2", "9.3", "9.1"], 1)
    peers.failing.clear()
    answering._turn(names)
    assert folder.by_title() == {}


def test_the_pauses(answering: Answering, caplog: pytest.LogCaptureFixture, peers: Peers) -> None:
    for _ in range(12):
        answering._put_off("it is down")
    pauses = [record.getMessage().rpartition("again in ")[2] for record in caplog.records]
    assert pauses == ["1 s", "2 s", "4 s", "8 s", "16 s", "32 s", "64 s", "128 s", "256 s", *["300 s"] * 3]


def test_before_the_index_has_it_nothing_is_said(
    answering: Answering, folder: Folder, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mark, "passed", False)
    names = keep(folder, "9.1")
    answering._turn(names)
    assert peers.asked == []
    monkeypatch.setattr(Mark, "passed", True)
    answering._turn(names)
    assert peers.asked == ["9.1"]
