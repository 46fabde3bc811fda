"""A plugin that takes what is stored to another place, before anybody else is told of it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmrecv_core import PluginError, StoredEvent, TryAgain, Undeliverable
from dcmrecv_core.delivery import keeper, recovery
from dcmrecv_core.delivery.deliverer import Deliverer
from dcmrecv_core.delivery.jobs import delivery_jobs
from dcmrecv_core.delivery.preparation import prepare, queues_of
from dcmrecv_core.delivery.recovery import SETTLED, Leftovers
from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.delivery.store import Queue
from dcmrecv_core.hooks.plugins import Plugins
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.testing import fake_instance, sample_dataset
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


def take_in(store: SqliteStore, location: str = "out/1.2.3") -> None:
    store.take_in([event("e1", location=location)], {}, store.now(), 0.0)


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


# What is found at the start


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "out" / "spool").mkdir(parents=True)
    return Settings(output_directory="out", working_directory=str(tmp_path), state_dir=str(tmp_path))


def save(directory: Path, name: str) -> None:
    with fake_instance(sample_dataset(SOPInstanceUID="1.2.3")).open() as file:
        (directory / "out" / "spool" / name).write_bytes(file.read())


def test_files_that_no_event_knows_are_found(settings: Settings, store: SqliteStore, tmp_path: Path) -> None:
    for name in ("known", "left", ".dcmrecv-1", "torn"):
        save(tmp_path, name)
    torn = tmp_path / "out" / "spool" / "torn"
    torn.write_bytes(torn.read_bytes()[:-3])
    (tmp_path / "out" / "spool" / "left.key").symlink_to("nowhere")
    take_in(store, "./out/spool/known")
    leftovers = Leftovers(settings, store, "spool")
    assert [leftovers.turn() for _ in range(SETTLED)] == [False] * SETTLED, "records may be on their way"
    assert leftovers.turn()
    assert store.held_locations() == {b"./out/spool/known", b"out/spool/left"}
    assert waiting(store) == {"plugin0/relocate": 2, "index/default": 0}
    told: list[StoredEvent] = []
    work(store, load(hooks(relocate=lambda event: told.append(event))))
    assert [(each.id, each.recovered) for each in told] == [("e1", False), (told[1].id, True)]
    assert (told[1].sop_instance_uid, told[1].location) == ("1.2.3", "out/spool/left")


def test_the_same_file_is_found_once(settings: Settings, store: SqliteStore, tmp_path: Path) -> None:
    save(tmp_path, "left")
    for _ in range(2):  # the journal process is started again
        leftovers = Leftovers(settings, store, "spool")
        while not leftovers.turn():
            continue
    assert waiting(store) == {"plugin0/relocate": 1, "index/default": 0}


def test_many_are_found_in_parts(
    settings: Settings, store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal goes on meanwhile."""
    for name in "abc":
        save(tmp_path, name)
    monkeypatch.setattr(recovery, "PART", 0.0)
    leftovers = Leftovers(settings, store, "spool")
    turns = [waiting(store)["plugin0/relocate"]]
    while not leftovers.turn():
        turns.append(waiting(store)["plugin0/relocate"])
    assert turns == [0] * (SETTLED + 1) + [1, 2]
    assert waiting(store)["plugin0/relocate"] == 3


def test_there_may_be_no_directory(settings: Settings, store: SqliteStore) -> None:
    assert Leftovers(settings, store, "another").turn()


def test_the_journal_process_looks_for_them(settings: Settings, tmp_path: Path) -> None:
    save(tmp_path, "left")
    prepare(settings)
    looked = SqliteStore.open(str(tmp_path))
    try:
        keeper.run(settings, [RELOCATE], lambda: bool(looked.held_locations()), relocated_from="spool")
        assert waiting(looked) == {"plugin0/relocate": 1}
    finally:
        looked.close()
