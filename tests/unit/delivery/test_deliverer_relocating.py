"""A plugin that takes what is stored to another place, before anybody else is told of it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmrecv_core import PluginError, StoredEvent, TryAgain, Undeliverable
from dcmrecv_core.delivery.deliverer import Deliverer
from dcmrecv_core.delivery.jobs import delivery_jobs
from dcmrecv_core.delivery.preparation import queues_of
from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.delivery.store import Queue
from dcmrecv_core.hooks.plugins import Plugins
from dcmrecv_core.settings.settings import Settings
from support.deliveries import event
from support.plugins import hooks, load, raising

RELOCATE, INDEX = Queue("plugin0", "relocate"), Queue("index", "default")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore.open(str(tmp_path))
    made.begin([RELOCATE, INDEX], 0)
    yield made
    made.close()


def work(store: SqliteStore, plugins: Plugins, attempts: int | None = None) -> None:
    number = store.number_of(RELOCATE)
    assert number is not None
    deliverer = Deliverer(store, RELOCATE, number, "p", plugins, attempts)
    turns = 0
    while turns < 5 and deliverer.turn(lambda: False):
        turns += 1


def waiting(store: SqliteStore) -> dict[str, int]:
    return {str(each.queue): each.waiting for each in store.states()}


def take_in(store: SqliteStore) -> None:
    store.take_in([event("e1")], {}, store.now(), 0.0)


def test_it_is_removed_where_it_was_only_when_the_new_place_is_known(store: SqliteStore) -> None:
    removed: list[tuple[str, dict[str, int]]] = []

    def remove_location(location: str) -> bool:
        removed.append((location, waiting(store)))
        return True

    def relocate(event: StoredEvent) -> str:
        assert not removed
        return f"s3://bucket/{event.sop_instance_uid}"

    take_in(store)
    work(store, load(hooks(relocate=relocate, remove_location=remove_location)))
    assert removed == [("out/1.2.3", {"plugin0/relocate": 0, "index/default": 1})]


def test_one_that_cannot_be_removed(store: SqliteStore, caplog: pytest.LogCaptureFixture) -> None:
    """It is found by the next start."""
    take_in(store)
    removing = raising(PermissionError(1, "not permitted"))
    work(store, load(hooks(relocate=lambda: "s3://bucket/1", remove_location=removing)))
    assert "out/1.2.3 is stored at s3://bucket/1, and cannot be removed: [Errno 1] not permitted" in caplog.text
    assert waiting(store) == {"plugin0/relocate": 0, "index/default": 1}


@pytest.mark.parametrize("result", [None, "out/1.2.3"])
def test_it_may_stay_where_it_is(store: SqliteStore, result: str | None) -> None:
    take_in(store)
    work(store, load(hooks(relocate=lambda: result, remove_location=raising(AssertionError("removed")))))
    assert waiting(store) == {"plugin0/relocate": 0, "index/default": 1}


@pytest.mark.parametrize("failure", [TryAgain("no server"), ValueError("odd")])
def test_nobody_is_told_while_it_fails(store: SqliteStore, failure: Exception) -> None:
    take_in(store)
    work(store, load(hooks(relocate=raising(failure), open_location=lambda: io.BytesIO())))
    assert waiting(store) == {"plugin0/relocate": 1, "index/default": 0}


def test_it_is_tried_without_end(store: SqliteStore) -> None:
    """What is put aside after some attempts would never be seen by anybody."""
    take_in(store)
    work(store, load(hooks(relocate=raising(TryAgain("no server", 0)), open_location=lambda: io.BytesIO())), 1)
    assert list(store.all_put_aside()) == []
    assert waiting(store) == {"plugin0/relocate": 1, "index/default": 0}


def test_a_result_that_is_no_location(store: SqliteStore, caplog: pytest.LogCaptureFixture) -> None:
    take_in(store)
    work(store, load(hooks(relocate=lambda: 1, open_location=lambda: io.BytesIO())))
    assert "plugin plugin0: relocate: TypeError('None, a path or a URI expected, not 1')" in caplog.text
    assert waiting(store) == {"plugin0/relocate": 1, "index/default": 0}


def test_one_that_cannot_be_relocated_is_put_aside(store: SqliteStore) -> None:
    take_in(store)
    work(store, load(hooks(relocate=raising(Undeliverable("no key")))))
    assert [each.reason for each in store.all_put_aside()] == ["no key"]
    assert waiting(store) == {"plugin0/relocate": 0, "index/default": 0}


# Which plugin relocates


def test_a_plugin_relocates_if_it_names_a_directory() -> None:
    settings = Settings()
    plugins = load(hooks(relocate=lambda: None, relocate_from=lambda: "spool"))
    assert plugins.relocation(settings) == ("plugin0", "spool")
    assert plugins.delivering(settings) == ("plugin0",)
    assert queues_of(plugins, settings) == [RELOCATE]
    assert list(delivery_jobs(settings, plugins)) == ["journal process", "delivery process of plugin0/relocate"]


@pytest.mark.parametrize("functions", [{}, {"relocate_from": lambda: None}])
def test_else_it_needs_no_journal(functions: dict[str, object]) -> None:
    plugins = load(hooks(relocate=lambda: None, **functions))  # type: ignore[arg-type]
    assert plugins.delivering(Settings()) == ()
    assert queues_of(plugins, Settings()) == []
    assert delivery_jobs(Settings(), plugins) == {}


def test_two_plugins_cannot_relocate() -> None:
    plugin = {"relocate": lambda: None, "relocate_from": lambda: "spool"}
    with pytest.raises(PluginError, match="relocates what is stored, as plugin1 does"):
        queues_of(load(hooks(**plugin), hooks(**plugin)), Settings())


@pytest.mark.parametrize("directory", ["/spool", "../spool", 1])
def test_a_directory_elsewhere(directory: object) -> None:
    plugins = load(hooks(relocate=lambda: None, relocate_from=lambda: directory))
    with pytest.raises(PluginError, match="plugin0"):
        plugins.relocation(Settings())
