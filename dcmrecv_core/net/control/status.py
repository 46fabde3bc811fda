"""All that is counted, from shared memory: the supervisor tells clients of the control socket, its children plugins."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from dcmrecv_core.api.version import __version__
from dcmrecv_core.counters.document import (
    AllDurations,
    AssociationCounts,
    AssociationStatus,
    Counters,
    Durations,
    HookTime,
    InstanceCounts,
    Listening,
    OutputStatus,
    PluginCount,
    RefusalCount,
    RefusalStatus,
    RunningHook,
    Totals,
    WorkerStatus,
)
from dcmrecv_core.counters.refusals import Reason, Refusal, merged
from dcmrecv_core.counters.slot import ENDS, MAX_HOOKS, Doing, Histogram
from dcmrecv_core.storage.mounts import mount_namespace

if TYPE_CHECKING:
    from dcmrecv_core.counters.slot import CounterSlot
    from dcmrecv_core.hooks.limits import PluginLimits
    from dcmrecv_core.net.admission import AdmissionTable, Slot
    from dcmrecv_core.settings.settings import Settings
    from dcmrecv_core.storage.temporary import Capabilities

_STATES: dict[Doing, str] = {
    Doing.READY: "ready",
    Doing.DRAINING: "draining",
    Doing.STOPPING: "stopping",
}
_WORKER_STATES = {Doing.STARTING: "starting", Doing.IDLE: "idle", Doing.SERVING: "serving"}


class StatusMaker:
    """Makes the status of the receiver with this `table` that is `listening` there, and of where it `stores`."""

    def __init__(self, table: AdmissionTable, limits: PluginLimits, listening: tuple[Listening, ...]) -> None:
        self._table = table
        self._memory = table.counters
        self._limits = limits
        self.listening = listening
        self._output: OutputStatus | None = None

    def stores(self, settings: Settings, capabilities: Capabilities) -> None:
        """The receiver stores where these settings say."""
        path = os.path.join(settings.working_directory, settings.output_directory)
        self._output = OutputStatus(
            path=path,
            min_free=settings.min_free,
            mount_point=capabilities.mount_point,
            mount_namespace=mount_namespace(),
        )

    def make(self) -> Counters:
        """All but what is on the disk: the queues, and whether the output directory can be used."""
        memory, supervisor = self._memory, self._memory.supervisor
        clock = _Clock()
        started_at = clock.at_wall(memory.made_at)
        state = _STATES.get(supervisor.doing, "not ready")
        return Counters(
            version=__version__,
            pid=supervisor.pid,
            state=state,
            not_ready=() if state == "ready" else ("no worker is ready" if state == "not ready" else state,),
            started_at=started_at,
            counting_since=started_at,
            listening=self.listening,
            output=self._output,
            totals=_totals(memory.receiving),
            refusals=tuple(_refusal(refusal, clock) for refusal in merged(slot.refusals for slot in memory.receiving)),
            refusal_counts=_refusal_counts(memory.receiving),
            durations=AllDurations(
                instance=_durations([slot.instance_durations for slot in memory.workers]),
                association=_durations([slot.association_durations for slot in memory.workers]),
            ),
            workers=tuple(self._workers(clock)),
            associations=tuple(self._associations(clock)),
            plugin_times=tuple(self._plugin_times()),
            plugin_counters=tuple(self._plugin_counters()),
        )

    def _workers(self, clock: _Clock) -> Iterator[WorkerStatus]:
        for slot in self._table.slots:
            counters = slot.counters
            pid, doing = counters.pid, counters.doing
            if pid and doing in _WORKER_STATES:
                yield WorkerStatus(
                    pid=pid, state=_WORKER_STATES[doing], since=clock.at(counters.since), hook=self._hook(slot, clock)
                )

    def _hook(self, slot: Slot, clock: _Clock) -> RunningHook | None:
        number = slot.hook
        if not number:
            return None
        plugin, hook = self._limits.hook(number) or ("", "")
        counters = slot.counters
        live = counters.association
        since = max(counters.hook_since or clock.now, live.last if live else 0.0)
        return RunningHook(plugin=plugin, hook=hook, since=clock.at(since))

    def _associations(self, clock: _Clock) -> list[AssociationStatus]:
        found = []
        for slot in self._memory.workers:
            live, pid = slot.association, slot.pid
            if live is not None and pid:
                known = live._asdict()
                last = known.pop("last")
                known.update(since=clock.at(live.since), last_at=clock.at(last) if last else None)
                found.append(AssociationStatus(pid=pid, **known))
        return sorted(found, key=lambda association: association.since)

    def _plugin_times(self) -> Iterator[HookTime]:
        for number in range(1, MAX_HOOKS):
            known = self._limits.hook(number)
            if known is not None:
                each = [slot.hook_calls.of(number) for slot in self._memory.workers]
                calls = sum(count for count, _ in each)
                if calls:
                    seconds = sum(seconds for _, seconds in each)
                    yield HookTime(plugin=known[0], hook=known[1], calls=calls, seconds=seconds)

    def _plugin_counters(self) -> Iterator[PluginCount]:
        for number, (plugin, name) in enumerate(self._limits.counts.names):
            value = sum(slot.plugin_counters[number] for slot in self._memory.slots)
            yield PluginCount(plugin=plugin, name=name, value=value)


class _Clock:
    """Turns what is in memory into times of day."""

    def __init__(self) -> None:
        self.now = time.monotonic()
        self._wall = time.time()

    def at(self, monotonic: float) -> datetime:
        return self.at_wall(self._wall - (self.now - monotonic))

    def at_wall(self, seconds: float) -> datetime:
        return datetime.fromtimestamp(seconds).astimezone()


def _totals(slots: Iterable[CounterSlot]) -> Totals:
    totals, ends = zip(*((slot.totals, slot.ends) for slot in slots), strict=True)
    accepted, rejected, stored, refused, discarded, size, echoes = map(sum, zip(*totals, strict=True))
    ended = {ended.value: count for ended, count in zip(ENDS, map(sum, zip(*ends, strict=True)), strict=True)}
    return Totals(
        associations=AssociationCounts(accepted=accepted, rejected=rejected, ended=ended),
        instances=InstanceCounts(stored=stored, refused=refused, discarded=discarded),
        bytes=size,
        echoes=echoes,
    )


def _refusal(refusal: Refusal, clock: _Clock) -> RefusalStatus:
    known = refusal._asdict()
    return RefusalStatus(at=clock.at_wall(known.pop("at")), count=known.pop("times"), **known)


def _refusal_counts(slots: Iterable[CounterSlot]) -> tuple[RefusalCount, ...]:
    counts: Counter[Reason] = Counter()
    for slot in slots:
        for reason, count in slot.refusal_counts:
            counts[reason] += count
    return tuple(
        RefusalCount(kind=reason.kind, status=reason.status, reason=reason.text, count=counts[reason])
        for reason in sorted(counts)
    )


def _durations(histograms: list[Histogram]) -> Durations:
    counts = [sum(each) for each in zip(*(histogram.counts for histogram in histograms), strict=True)]
    at_most = [sum(counts[: number + 1]) for number in range(len(counts))]
    return Durations(
        buckets=tuple(zip(histograms[0].bounds, at_most, strict=False)),
        sum=sum(histogram.seconds for histogram in histograms),
        count=at_most[-1],
    )
