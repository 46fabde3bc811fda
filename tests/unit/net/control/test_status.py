"""The status of a receiver, from what stands in shared memory."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import pytest

from dcmrecv_core.api.outcomes import Ended
from dcmrecv_core.api.version import __version__
from dcmrecv_core.counters.document import AssociationStatus, HookTime, Listening, PluginCount, RefusalCount
from dcmrecv_core.counters.refusals import Reason, Refusal
from dcmrecv_core.counters.slot import ECHOES, REFUSED, REJECTED, STORED, Doing
from dcmrecv_core.hooks.limits import PluginLimits
from dcmrecv_core.net.admission import AdmissionTable
from dcmrecv_core.net.control.status import StatusMaker
from dcmrecv_core.testing.fakes import fake_association

LISTENING = (Listening(address="127.0.0.1", port=11112, tls=False),)


@pytest.fixture
def table() -> AdmissionTable:
    return AdmissionTable(3)


@pytest.fixture
def limits() -> PluginLimits:
    return PluginLimits()


@pytest.fixture
def maker(table: AdmissionTable, limits: PluginLimits) -> StatusMaker:
    return StatusMaker(table, limits, LISTENING)


def is_now(at: datetime | None, ago: float = 0.0) -> bool:
    assert at is not None and at.tzinfo is not None
    return abs((datetime.now().astimezone() - at - timedelta(seconds=ago)).total_seconds()) < 5.0


def test_a_new_receiver(maker: StatusMaker, table: AdmissionTable) -> None:
    table.counters.supervisor.begin_process(99, Doing.NOT_READY, time.monotonic())
    counters = maker.make()
    assert (counters.version, counters.pid, counters.listening) == (__version__, 99, LISTENING)
    assert (counters.state, counters.not_ready) == ("not ready", ("no worker is ready",))
    assert is_now(counters.counting_since) and counters.counting_since == counters.started_at
    assert not counters.workers and not counters.associations and not counters.refusals
    assert set(counters.totals.associations.ended) == {each.value for each in Ended} - {"rejected"}


@pytest.mark.parametrize(
    ("doing", "state", "reasons"),
    [
        (Doing.READY, "ready", ()),
        (Doing.DRAINING, "draining", ("draining",)),
        (Doing.STOPPING, "stopping", ("stopping",)),
    ],
)
def test_states(maker: StatusMaker, table: AdmissionTable, doing: Doing, state: str, reasons: tuple[str, ...]) -> None:
    table.counters.supervisor.be(doing, 1.0)
    counters = maker.make()
    assert (counters.state, counters.not_ready) == (state, reasons)


def test_workers_and_associations(maker: StatusMaker, table: AdmissionTable, limits: PluginLimits) -> None:
    now = time.monotonic()
    number = limits.number("mysite", "receive")
    first, second, third = (table.take(now)[1] for _ in range(3))
    first.counters.begin_process(11, Doing.STARTING, now)
    second.counters.begin_process(12, Doing.IDLE, now - 60)
    third.counters.begin_process(13, Doing.SERVING, now)
    third.counters.begin_association(
        fake_association(id="abc", calling_ae_title="CT3", peer_address="10.0.0.5", peer_port=4711), now - 30
    )
    third.counters.count_instance(STORED, 500, now)
    third.flag[0] = number
    third.counters.note_hook(now - 20)
    counters = maker.make()
    assert {(each.pid, each.state) for each in counters.workers} == {(11, "starting"), (12, "idle"), (13, "serving")}
    by_pid = {each.pid: each for each in counters.workers}
    assert is_now(by_pid[12].since, ago=60)
    assert by_pid[12].hook is None
    hook = by_pid[13].hook
    assert hook is not None and (hook.plugin, hook.hook) == ("mysite", "receive")
    assert is_now(hook.since), "not before the last instance was answered"
    [association] = counters.associations
    assert association == AssociationStatus(
        id="abc",
        pid=13,
        calling_ae_title="CT3",
        called_ae_title=fake_association().called_ae_title,
        peer_address="10.0.0.5",
        peer_port=4711,
        tls=False,
        since=association.since,
        instances=1,
        bytes=500,
        last_at=association.last_at,
    )
    assert is_now(association.since, ago=30) and is_now(association.last_at)
    third.counters.end_process(now)
    counters = maker.make()
    assert counters.associations == () and {each.pid for each in counters.workers} == {11, 12}
    assert counters.totals.associations.ended["lost"] == 1


def test_a_hook_that_runs_for_long(maker: StatusMaker, table: AdmissionTable, limits: PluginLimits) -> None:
    now = time.monotonic()
    _, slot = table.take(now)
    slot.counters.begin_process(11, Doing.SERVING, now)
    slot.flag[0] = limits.number("mysite", "negotiate")
    slot.counters.note_hook(now - 20)
    [worker] = maker.make().workers
    assert worker.hook is not None and is_now(worker.hook.since, ago=20)


def test_associations_in_the_order_in_which_they_began(maker: StatusMaker, table: AdmissionTable) -> None:
    for number, since in enumerate((3.0, 1.0, 2.0)):
        slot = table.counters.workers[number]
        slot.begin_process(number + 1, Doing.SERVING, since)
        slot.begin_association(fake_association(id=str(since)), since)
    assert [each.id for each in maker.make().associations] == ["1.0", "2.0", "3.0"]


def test_totals_of_all_processes(maker: StatusMaker, table: AdmissionTable) -> None:
    for slot in table.counters.workers:
        slot.begin_association(fake_association(), 1.0)
        slot.count_instance(STORED, 100, time.monotonic() - 0.3)
        slot.count_instance(REFUSED, 1, time.monotonic() - 99.0)
        slot.count(ECHOES)
        slot.end_association(Ended.RELEASED, 3.0)
    table.counters.supervisor.count(REJECTED)
    counters = maker.make()
    associations, instances = counters.totals.associations, counters.totals.instances
    assert (associations.accepted, associations.rejected, associations.ended["released"]) == (3, 1, 3)
    assert (instances.stored, instances.refused, instances.discarded) == (3, 3, 0)
    assert (counters.totals.bytes, counters.totals.echoes) == (303, 3)
    durations = counters.durations.instance
    assert durations.count == 6 and durations.sum == pytest.approx(3 * 99.3, abs=5)
    at_most = dict(durations.buckets)
    assert (at_most[0.25], at_most[10.0]) == (0, 3)
    assert dict(counters.durations.association.buckets)[5.0] == counters.durations.association.count == 3


def test_refusals(maker: StatusMaker, table: AdmissionTable) -> None:
    for slot in (table.counters.workers[0], table.counters.workers[1], table.counters.supervisor):
        slot.refusals.add(Refusal(time.time(), 1, "instance", "A700", "CT3", "ARCHIVE", "10.0.0.5", "full"))
        slot.refusal_counts.add(Reason("instance", "A700", "Refused: OutOfResources"))
    [refusal] = maker.make().refusals
    assert (refusal.calling_ae_title, refusal.status, refusal.count, refusal.reason) == ("CT3", "A700", 3, "full")
    assert is_now(refusal.at)
    assert maker.make().refusal_counts == (
        RefusalCount(kind="instance", status="A700", reason="Refused: OutOfResources", count=3),
    )


def test_what_plugins_count(maker: StatusMaker, table: AdmissionTable, limits: PluginLimits) -> None:
    limits.counts.declare("mysite", "kept")
    table.counters.workers[0].plugin_counters[0] = 2
    table.counters.other("background of plugin mysite").plugin_counters[0] = 5
    number = limits.number("mysite", "receive")
    limits.number("mysite", "stored")
    for slot in table.counters.workers[:2]:
        slot.hook_calls.add(number, 0.5)
    counters = maker.make()
    assert counters.plugin_counters == (PluginCount(plugin="mysite", name="kept", value=7),)
    assert counters.plugin_times == (HookTime(plugin="mysite", hook="receive", calls=2, seconds=1.0),)
