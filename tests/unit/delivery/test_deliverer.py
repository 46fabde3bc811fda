"""A delivery process: again until the hook returns, put aside, one study at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core import PluginSettings, Series, StoredEvent, Study, TryAgain, Undeliverable
from dcmrecv_core.delivery import clock, deliverer
from dcmrecv_core.delivery.deliverer import LONGEST_PAUSE, Deliverer
from dcmrecv_core.delivery.preparation import prepare, queues_of
from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.delivery.store import NewEvent, Queue
from dcmrecv_core.hooks.guards import BackgroundStopped
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.storage.journals.records import decode
from support.deliveries import event, record
from support.plugins import hooks, load, raising

Told = list[Any]


class Process:
    """A delivery process for one queue of a plugin, with a clock that is turned by hand."""

    def __init__(self, directory: Path, plugin: Any, target: str = "default", attempts: int | None = None) -> None:
        self.plugins = load(plugin)
        self.queue = Queue("plugin0", target)
        self.store = SqliteStore.open(str(directory))
        self.now = 0
        self.store.begin([self.queue], 0)
        number = self.store.number_of(self.queue)
        assert number is not None
        self.deliverer = Deliverer(self.store, self.queue, number, "p", self.plugins, attempts)

    def take_in(self, *events: NewEvent) -> None:
        self.store.take_in(events, {}, self.now, 0.0)

    def work(self) -> None:
        """Until nothing is due."""
        while self.deliverer.turn(lambda: False):
            continue

    def aside(self) -> list[tuple[str, str]]:
        return [(each.id, each.reason) for each in self.store.all_put_aside()]


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    started: list[Process] = []

    def make(target: str = "default", attempts: int | None = None, **functions: Callable[..., Any]) -> Process:
        started.append(Process(tmp_path, hooks(**functions), target, attempts))
        monkeypatch.setattr(clock, "now", lambda: started[-1].now * clock.SECOND)
        return started[-1]

    yield make
    for process in started:
        process.store.close()


def test_what_the_hook_is_told(start: Start) -> None:
    told: Told = []
    process = start("a", deliver=lambda event, target: told.append((event, target)))
    process.take_in(event("e1", uid="1.9", title="CT7"))
    process.work()
    [(got, target)] = told
    assert isinstance(got, StoredEvent)
    assert target == "a"
    assert (got.id, got.sop_instance_uid, got.study_instance_uid, got.series_instance_uid) == (
        "e1",
        "1.9",
        "1.2",
        "1.2.1",
    )
    assert (got.calling_ae_title, got.called_ae_title, got.peer_address) == ("CT7", "ARCHIVE", "192.0.2.1")
    assert (got.patient_id, got.modality, got.how, got.size, got.recovered) == ("4711", "CT", "new", 1000, False)
    assert got.received_at is not None
    assert got.received_at.year == 2001
    assert (got.digest, got.original_uid_hash) == (None, None)
    process.work()
    assert len(told) == 1


def test_it_is_tried_again_after_growing_pauses(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def deliver() -> None:
        calls.append(process.now)
        raise ConnectionRefusedError("nobody there")

    process = start(deliver=deliver)
    process.take_in(event("e1"))
    for process.now in range(1200):
        process.work()
    pauses = [later - earlier for earlier, later in pairwise(calls)]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, LONGEST_PAUSE, LONGEST_PAUSE]
    first, *others = caplog.records
    assert "plugin plugin0: deliver to default: ConnectionRefusedError('nobody there')" in first.getMessage()
    assert "SOP instance 1.2.3 from CT1@192.0.2.1), again in 1 s" in first.getMessage()
    assert first.exc_info or first.exc_text  # a handler of the log may have made text of it
    assert {each.exc_info or each.exc_text for each in others} == {None}


def test_what_is_to_be_tried_again_has_one_line_without_a_traceback(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    def deliver() -> None:
        calls.append(process.now)
        raise TryAgain("archive is down", *[60] * (len(calls) == 2))

    process = start(deliver=deliver)
    process.take_in(event("e1"))
    for process.now in range(70):
        process.work()
    assert calls == [0, 1, 61, 65]
    said = "plugin plugin0: deliver to default: archive is down (SOP instance 1.2.3 from CT1@192.0.2.1), again in"
    assert caplog.messages[:2] == [f"{said} 1 s", f"{said} 60 s"]
    assert {each.exc_info for each in caplog.records} == {None}


def test_what_is_to_be_tried_again_counts_as_an_attempt(start: Start) -> None:
    process = start(attempts=2, deliver=raising(TryAgain("archive is down")))
    process.take_in(event("e1"))
    for process.now in range(10):
        process.work()
    assert process.aside() == [("e1", "failed 2 times: archive is down")]


def test_one_failing_event_holds_up_its_own_study_only(start: Start) -> None:
    done: list[str] = []

    def deliver(event: StoredEvent) -> None:
        if event.id == "bad":
            raise ValueError
        done.append(event.id)

    process = start(deliver=deliver)
    process.take_in(event("e1"), event("bad"), event("e2"), event("x1", study="9"), event("x2", study="9"))
    for process.now in range(100):
        process.work()
    assert done == ["e1", "x1", "x2"]


def test_attempts_may_be_limited(start: Start) -> None:
    process = start(attempts=3, deliver=raising(ValueError("no")))
    process.take_in(event("e1"))
    for process.now in range(10):
        process.work()
    [(id, reason)] = process.aside()
    assert id == "e1"
    assert reason.startswith("failed 3 times: ValueError('no')")


def test_what_cannot_be_delivered_is_put_aside(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []

    def deliver(event: StoredEvent) -> None:
        if event.id == "bad":
            raise Undeliverable("no such patient")
        done.append(event.id)

    process = start(deliver=deliver)
    process.take_in(event("bad"), event("e2"))
    process.work()
    assert done == ["e2"]
    assert process.aside() == [("bad", "no such patient")]
    assert "no such patient (SOP instance 1.2.3 from CT1@192.0.2.1), put aside" in caplog.text


def test_a_file_that_is_gone_puts_its_event_aside(start: Start, tmp_path: Path) -> None:
    def deliver(event: StoredEvent) -> None:
        with event.open():
            raise ValueError("other reasons do not")

    def open_location(location: str) -> Any:
        return open(location, "rb")

    process = start(deliver=deliver, open_location=open_location)
    (tmp_path / "there").touch()
    process.take_in(event("gone", study="1", location=str(tmp_path / "gone")))
    process.take_in(event("there", study="2", location=str(tmp_path / "there")))
    process.work()
    [(id, reason)] = process.aside()
    assert id == "gone"
    assert reason.startswith(f"{tmp_path / 'gone'} is gone (FileNotFoundError")


def test_a_damaged_record_is_put_aside(start: Start) -> None:
    done: list[str] = []
    process = start(deliver=lambda event: done.append(event.id))
    process.take_in(NewEvent("bad", decode(record()), record()[:-1] + b"x"), event("e2"))
    process.work()
    assert done == ["e2"]
    assert process.aside() == [("bad", "its record is damaged: its checksum is wrong")]


def test_after_a_power_cut_only_the_association_is_unknown(start: Start) -> None:
    told: Told = []
    process = start(deliver=lambda event: told.append(event))
    from dcmrecv_core.storage.journals.records import Kind

    data = record("1.9", kind=Kind.RECOVERED)
    process.take_in(NewEvent("e1", decode(data), data))
    process.work()
    [got] = told
    assert got.recovered
    assert (got.calling_ae_title, got.called_ae_title, got.peer_address) == (None, None, None)
    assert (got.association_id, got.received_at) == (None, None)
    assert (got.sop_instance_uid, got.patient_id) == ("1.9", "4711")


@pytest.mark.parametrize("hook", ["study_completed", "series_completed"])
def test_a_completed_one_has_its_events(start: Start, hook: str) -> None:
    told: Told = []
    argument = hook.removesuffix("_completed")
    function = {"study": lambda study: told.append(study), "series": lambda series: told.append(series)}[argument]
    process = start(hook, **{hook: function})
    process.take_in(event("e1", uid="1"), event("e2", uid="2", title="CT2"), event("e3", uid="1", how="replaced"))
    [found] = process.store.quiet(1 << 60)
    process.store.complete(found)
    process.take_in(event("e4", uid="4"))
    process.work()
    [found] = process.store.quiet(1 << 60)
    process.store.complete(found)
    process.work()
    first, second = told
    assert isinstance(first, Study if argument == "study" else Series)
    assert (first.study_instance_uid, first.patient_id, first.revision) == ("1.2", "4711", 1)
    assert [each.id for each in first.instances] == [each.id for each in first.new] == ["e3", "e2"]
    assert (first.senders, first.directory) == (("CT1", "CT2"), "out")
    assert first.first_received_at == first.last_received_at is not None
    assert [each.id for each in second.instances] == ["e3", "e2", "e4"]
    assert [each.id for each in second.new] == ["e4"]
    assert first.id != second.id


def test_each_target_of_a_completed_one_is_told(start: Start) -> None:
    told: Told = []
    process = start("study_completed/report", study_completed=lambda study, target: told.append((study.id, target)))
    default = Queue("plugin0", "study_completed")
    process.store.begin([process.queue, default], 0)
    process.take_in(event("e1"))
    [found] = process.store.quiet(1 << 60)
    process.store.complete(found)
    process.work()
    [(id, target)] = told
    assert target == "report"
    assert {str(state.queue): state.waiting for state in process.store.states()} == {
        "plugin0/study_completed": 1,
        "plugin0/study_completed/report": 0,
    }
    number = process.store.number_of(default)
    assert number is not None
    Deliverer(process.store, default, number, "p", process.plugins, None).turn(lambda: False)
    assert told == [(id, "report"), (id, "default")]


def test_the_queues_of_a_plugin() -> None:
    def completion_targets(settings: PluginSettings, hook: str) -> list[str]:
        return {"study_completed": [settings.options["report"], "default"], "series_completed": []}[hook]

    plugin = hooks(
        deliver=lambda: None,
        delivery_targets=lambda: ["a"],
        series_completed=lambda: None,
        study_completed=lambda: None,
        completion_targets=completion_targets,
    )
    settings = Settings(plugin_options={"plugin0": {"report": "r"}})
    queues = queues_of(load(plugin, hooks(series_completed=lambda: None)), settings)
    assert {str(queue): (queue.hook, queue.name) for queue in queues} == {
        "plugin0/a": ("deliver", "a"),
        "plugin0/study_completed/r": ("study_completed", "r"),
        "plugin0/study_completed": ("study_completed", "default"),
        "plugin1/series_completed": ("series_completed", "default"),
    }


class Together:
    """A plugin that takes many events at once; `fails` says whether a call with these ids does."""

    def __init__(self, fails: Callable[[list[str]], bool] = lambda ids: False) -> None:
        self.calls: list[list[str]] = []
        self._fails = fails

    def _call(self, ids: list[str]) -> None:
        self.calls.append(ids)
        if self._fails(ids):
            raise ValueError(ids)

    def started(self, start: Start) -> Process:
        return start(
            deliver=lambda event: self._call([event.id]),
            deliver_many=lambda events, target: self._call([event.id for event in events if target == "default"]),
        )


def test_many_events_are_delivered_together(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliverer, "TOGETHER", 4)
    plugin = Together()
    process = plugin.started(start)
    process.take_in(event("a1", study="1"), event("b1", study="2"), event("a2", study="1"))
    process.take_in(*(event(f"c{number}", study="3") for number in range(6)))
    process.work()
    assert plugin.calls == [["a1", "a2", "b1", "c0"], ["c1", "c2", "c3", "c4"], ["c5"]]
    [state] = process.store.states()
    assert (state.waiting, state.busy) == (0, 0)


def test_what_comes_during_a_call_is_delivered_together(start: Start) -> None:
    """A study that is being sent: each call finds what has come during the one before."""
    arriving = [["a2", "a3"], ["a4", "a5", "a6"]]

    def takes_in(ids: list[str]) -> bool:
        for id in arriving.pop(0) if arriving else ():
            process.take_in(event(id, study="1"))
        return False

    plugin = Together(takes_in)
    process = plugin.started(start)
    process.take_in(event("a1", study="1"))
    process.work()
    assert plugin.calls == [["a1"], ["a2", "a3"], ["a4", "a5", "a6"]]


def test_events_that_fail_together_are_delivered_one_by_one(start: Start) -> None:
    plugin = Together(lambda ids: "a2" in ids)
    process = plugin.started(start)
    process.take_in(event("a1", study="1"), event("a2", study="1"), event("a3", study="1"), event("b1", study="2"))
    process.work()
    assert plugin.calls == [["a1", "a2", "a3", "b1"], ["a1"], ["a2"], ["b1"]]
    process.take_in(event("b2", study="2"), event("b3", study="2"))
    process.now = 1
    process.work()
    assert plugin.calls[4:] == [["b2", "b3"], ["a2"]], "what has failed does not make others fail again"
    [state] = process.store.states()
    assert (state.waiting, state.failing) == (2, 1)


def test_what_a_process_may_have_died_of_comes_last_and_alone(start: Start) -> None:
    plugin = Together()
    process = plugin.started(start)
    process.take_in(event("a1", study="1"), event("a2", study="1"), event("b1", study="2"), event("b2", study="2"))
    number = process.store.number_of(process.queue)
    assert number is not None
    assert process.store.claim(number, "dead", 0) is not None
    process.now = 1
    assert process.store.release_others(number, [], clock.now()) == 1
    successor = Deliverer(process.store, process.queue, number, "p", process.plugins, None, 2)
    while successor.turn(lambda: False):
        continue
    assert plugin.calls == [["b1"], ["b2"], ["a1"], ["a2"]]


def test_a_damaged_record_does_not_hold_up_others_together(start: Start) -> None:
    plugin = Together()
    process = plugin.started(start)
    process.take_in(event("e1"), NewEvent("bad", decode(record()), record()[:-1] + b"x"), event("e2"))
    process.work()
    assert plugin.calls == [["e1"], ["e2"]]
    assert [id for id, _ in process.aside()] == ["bad"]


def test_the_end_of_the_process_loses_no_events_together(start: Start) -> None:
    process = start(deliver=lambda: None, deliver_many=raising(BackgroundStopped(1)))
    process.take_in(event("e1"), event("e2"))
    with pytest.raises(BackgroundStopped):
        process.work()
    [state] = process.store.states()
    assert (state.waiting, state.busy) == (2, 1)


def test_the_end_of_the_process_is_no_failure(start: Start) -> None:
    process = start(deliver=raising(BackgroundStopped(1)))
    process.take_in(event("e1"))
    with pytest.raises(BackgroundStopped):
        process.work()
    [state] = process.store.states()
    assert (state.waiting, state.failing, state.busy) == (1, 0, 1)


def test_it_stops_between_two_deliveries(start: Start) -> None:
    done: list[str] = []
    process = start(deliver=lambda event: done.append(event.id))
    process.take_in(event("e1"), event("e2"))
    assert process.deliverer.turn(lambda: bool(done))
    assert done == ["e1"]
    [state] = process.store.states()
    assert (state.waiting, state.busy) == (1, 0)


def test_a_process_opens_and_closes_what_its_plugin_needs(tmp_path: Path) -> None:
    calls: list[str] = []
    plugin = hooks(
        worker_started=lambda: calls.append("worker"),
        delivery_started=lambda settings: calls.append(f"started {settings.options}"),
        deliver=lambda event: calls.append(event.id),
        delivery_stopping=lambda: calls.append("stopping"),
    )
    plugins = load(plugin, hooks(delivery_started=lambda: calls.append("another plugin's")))
    settings = Settings(state_dir=str(tmp_path), plugin_options={"plugin0": {"x": 1}})
    prepare(settings)
    [queue] = queues_of(plugins, settings)
    store = SqliteStore.open(str(tmp_path))
    store.begin([queue], 0)
    store.take_in([event("e1")], {}, 0, 0.0)
    store.close()
    deliverer.run(settings, plugins, queue, 0, lambda: "e1" in calls)
    assert calls == ["started {'x': 1}", "e1", "stopping"]
