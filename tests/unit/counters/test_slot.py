"""What one process counts: read by others, kept when it is replaced."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.api.outcomes import Ended
from dcmrecv_core.counters import slot as module
from dcmrecv_core.counters.memory import CounterMemory
from dcmrecv_core.counters.slot import (
    ASSOCIATION_BOUNDS,
    DISCARDED,
    ECHOES,
    ENDS,
    INSTANCE_BOUNDS,
    REFUSED,
    REJECTED,
    STORED,
    CounterSlot,
    Doing,
)
from dcmrecv_core.testing.fakes import fake_association

ASSOCIATION = fake_association(
    id="0123456789abcdef",
    calling_ae_title="CT3",
    called_ae_title="ARCHIVE",
    peer_address="2001:db8::1",
    peer_port=4711,
)


@pytest.fixture
def slot() -> CounterSlot:
    return CounterMemory(2).workers[1]


def in_child(action: Callable[[], None]) -> None:
    """A process of its own does it."""
    pid = os.fork()
    if not pid:
        try:
            action()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def test_all_counts_cross_processes(slot: CounterSlot) -> None:
    def serve() -> None:
        slot.begin_process(17, Doing.IDLE, 1.0)
        slot.be(Doing.SERVING, 2.0)
        slot.begin_association(ASSOCIATION, 3.0, tls=True)
        for result, size in ((STORED, 100), (STORED, 10), (REFUSED, 7), (DISCARDED, 1)):
            slot.count_instance(result, size, time.monotonic())
        slot.count(ECHOES)
        slot.count(REJECTED)

    in_child(serve)
    assert slot.totals == (1, 1, 2, 1, 1, 118, 1)
    assert (slot.pid, slot.doing, slot.since) == (17, Doing.SERVING, 2.0)
    live = slot.association
    assert live is not None
    assert live[:7] == ("0123456789abcdef", "CT3", "ARCHIVE", "2001:db8::1", 4711, True, 3.0)
    assert (live.instances, live.bytes) == (4, 118)
    assert 0 < live.last <= time.monotonic()


def test_a_process_goes_on_where_the_last_one_was(slot: CounterSlot) -> None:
    slot.begin_process(17, Doing.SERVING, 1.0)
    slot.begin_association(ASSOCIATION, 1.0)
    slot.count_instance(STORED, 5, time.monotonic())
    slot.end_process(9.0)
    assert (slot.pid, slot.doing, slot.association) == (0, Doing.NOTHING, None)
    assert dict(zip(ENDS, slot.ends, strict=True))[Ended.LOST] == 1
    slot.end_process(9.0)
    assert sum(slot.ends) == 1, "an association is lost once"
    slot.begin_process(18, Doing.SERVING, 10.0)
    slot.begin_association(ASSOCIATION, 10.0)
    slot.count_instance(STORED, 6, time.monotonic())
    assert slot.totals[2:6] == (2, 0, 0, 11)
    assert slot.association is not None
    assert (slot.association.instances, slot.association.bytes) == (1, 6)


def test_slots_do_not_touch_each_other() -> None:
    memory = CounterMemory(3)
    for result in (STORED, REFUSED, DISCARDED):
        memory.workers[1].count_instance(result, 1, 0.0)
    memory.workers[1].begin_association(ASSOCIATION, 1.0)
    memory.workers[1].plugin_counters[63] = 1
    memory.workers[1].hook_calls.add(127, 1.0)
    for other in (*memory.slots[:1], *memory.slots[2:]):
        assert sum(other.totals) == sum(other.plugin_counters) == other.hook_calls.of(127)[0] == 0
        assert other.association is None
        assert not list(other.refusals) and not list(other.refusal_counts)


@pytest.mark.parametrize("ended", ENDS)
def test_each_end(slot: CounterSlot, ended: Ended) -> None:
    slot.begin_association(ASSOCIATION, 10.0)
    slot.end_association(ended, 12.5)
    slot.end_association(ended, 99.0)
    assert dict(zip(ENDS, slot.ends, strict=True)) == {each: int(each is ended) for each in ENDS}
    histogram = slot.association_durations
    assert (sum(histogram.counts), histogram.seconds) == (1, 2.5)
    assert histogram.counts[bisect_left(ASSOCIATION_BOUNDS, 2.5)] == 1


@settings(deadline=None, max_examples=100)
@given(st.lists(st.one_of(st.sampled_from(INSTANCE_BOUNDS), st.floats(0, 1e6)), max_size=30))
def test_durations_of_instances(seconds: list[float]) -> None:
    """Each is in the first bucket whose bound it does not exceed."""
    slot = CounterMemory(1).workers[0]
    with pytest.MonkeyPatch.context() as patch:
        for each in seconds:
            patch.setattr(module, "monotonic", lambda each=each: each)
            slot.count_instance(STORED, 0, 0.0)
    histogram = slot.instance_durations
    bounds = (*INSTANCE_BOUNDS, float("inf"))
    assert list(histogram.counts) == [
        sum(before < each <= bound for each in seconds)
        for before, bound in zip((-1.0, *INSTANCE_BOUNDS), bounds, strict=True)
    ]
    assert histogram.seconds == pytest.approx(sum(seconds))


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=80))
def test_titles_of_any_text(title: str) -> None:
    slot = CounterMemory(1).workers[0]
    slot.begin_association(fake_association(calling_ae_title=title), 1.0)
    live = slot.association
    assert live is not None
    if len(title.encode("utf-8", "replace")) <= 64 and not title.endswith("\0"):
        assert live.calling_ae_title == title.encode("utf-8", "replace").decode()
    live.calling_ae_title.encode()  # never half a character that cannot be written


def test_hooks(slot: CounterSlot) -> None:
    slot.hook_calls.add(3, 0.5)
    slot.hook_calls.add(3, 0.25)
    assert slot.hook_calls.of(3) == (2, 0.75)
    assert slot.hook_calls.of(4) == (0, 0.0)
    slot.note_hook(4.5)
    assert slot.hook_since == 4.5
    slot.begin_process(1, Doing.STARTING, 5.0)
    assert slot.hook_since == 0.0
