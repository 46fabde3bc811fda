"""What a receiver counts, with its queues, as plugins and dcmrecvctl read it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dcmrecv_core import Counters, PluginSettings, StateDirectoryError, read_counters
from dcmrecv_core.api.settings import PluginCounter
from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.delivery.store import Queue
from dcmrecv_core.net.control.address import NAME
from dcmrecv_core.net.control.reading import ask_counters
from support.programs.control_socket import answering

AT = datetime(2026, 11, 29, tzinfo=UTC)
COUNTERS = Counters(version="0.1.0", pid=1, state="ready", not_ready=(), started_at=AT, counting_since=AT)

STATUS = b'{"command": "status"}\n'


class Inside:
    """As in a process of the receiver."""

    def declare(self, name: str) -> PluginCounter:
        raise NotImplementedError

    def measure_hooks(self) -> None:
        raise NotImplementedError

    def read(self) -> Counters:
        return COUNTERS


@pytest.fixture
def state(tmp_path: Path) -> Path:
    store = SqliteStore.open(str(tmp_path))
    store.begin([Queue("site", "default")], 0)
    store.close()
    return tmp_path


def test_inside(state: Path) -> None:
    """Nothing listens."""
    counters = read_counters(PluginSettings(state_directory=state, _counting=Inside()))
    assert [each.queue for each in counters.queues] == ["site/default"]
    assert counters.queues[0].claimed and counters.queues[0].oldest is None


def test_inside_a_receiver_without_a_state_directory() -> None:
    assert read_counters(PluginSettings(state_directory="another's", _counting=Inside())) == COUNTERS


def test_outside(state: Path) -> None:
    with answering(state / NAME, json.dumps(COUNTERS.as_dict()).encode() + b"\n", STATUS):
        counters = read_counters(PluginSettings(state_directory=state))
    assert counters.as_dict() == {**COUNTERS.as_dict(), "queues": counters.as_dict()["queues"]}
    assert [each.queue for each in counters.queues] == ["site/default"]


def test_it_does_not_run(state: Path) -> None:
    with pytest.raises(ConnectionError, match="no receiver runs"):
        read_counters(PluginSettings(state_directory=state))


def test_outside_without_a_state_directory() -> None:
    with pytest.raises(StateDirectoryError, match="another's"):
        read_counters(PluginSettings(state_directory="another's"))


def test_another_version(tmp_path: Path) -> None:
    text = r"has version 7\.0\.0, which this version, .*, does not understand"
    with (
        answering(tmp_path / "s", b'{"version": "7.0.0", "everything": "new"}\n', STATUS),
        pytest.raises(ConnectionError, match=text),
    ):
        ask_counters(tmp_path / "s")


def test_without_queues(tmp_path: Path) -> None:
    assert read_counters(PluginSettings(state_directory=tmp_path, _counting=Inside())).queues == ()


def test_a_store_that_cannot_be_read(state: Path) -> None:
    (state / "delivery.sqlite").write_bytes(b"no database" * 1000)
    assert read_counters(PluginSettings(state_directory=state, _counting=Inside())) == COUNTERS
