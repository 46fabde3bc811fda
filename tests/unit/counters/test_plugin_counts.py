"""Counters of plugins: declared before workers are forked, counted in each process."""

from __future__ import annotations

import os

import pytest

from dcmrecv_core.api.errors import PluginError
from dcmrecv_core.api.settings import PluginSettings
from dcmrecv_core.counters.memory import CounterMemory
from dcmrecv_core.counters.plugin_counts import PluginCounts
from dcmrecv_core.counters.slot import MAX_PLUGIN_COUNTERS
from dcmrecv_core.settings.settings import Settings


def settings_of(counts: PluginCounts, plugin: str) -> PluginSettings:
    return Settings().own(plugin, None, counts.of(plugin))


def test_each_process_counts_in_its_slot() -> None:
    counts, memory = PluginCounts(), CounterMemory(2)
    kept = settings_of(counts, "site").counter("kept")
    thrown = settings_of(counts, "site").counter("thrown away")
    other = settings_of(counts, "other").counter("kept")
    for number in range(2):
        pid = os.fork()
        if not pid:
            counts.use(memory.workers[number])
            kept.add()
            thrown.add(10)
            other.add(0)
            os._exit(0)
        os.waitpid(pid, 0)
    assert counts.names == [("site", "kept"), ("site", "thrown away"), ("other", "kept")]
    assert [list(slot.plugin_counters[:3]) for slot in memory.workers] == [[1, 10, 0], [1, 10, 0]]


def test_a_reload_declares_the_same_again() -> None:
    counts = PluginCounts()
    first = settings_of(counts, "site").counter("kept")
    settings_of(counts, "site").counter("new")
    settings_of(counts, "site").counter("kept").add(2)
    assert first.value == 2
    assert counts.names == [("site", "kept"), ("site", "new")]


def test_a_worker_declares_nothing() -> None:
    counts = PluginCounts()
    settings_of(counts, "site").counter("kept")
    counts.use(CounterMemory(1).workers[0])
    settings_of(counts, "site").counter("kept").add()
    with pytest.raises(PluginError, match="counter 'new' has to be declared in configure"):
        settings_of(counts, "site").counter("new")


def test_there_is_room_for_so_many() -> None:
    counts = PluginCounts()
    for number in range(MAX_PLUGIN_COUNTERS):
        settings_of(counts, "site").counter(str(number)).add(number)
    with pytest.raises(PluginError, match="there are 64 counters already"):
        settings_of(counts, "site").counter("one more")


def test_it_never_goes_back() -> None:
    counter = PluginSettings().counter("kept")
    counter.add(3)
    with pytest.raises(ValueError, match="a counter never goes back: -1"):
        counter.add(-1)
    assert counter.value == 3


def test_settings_of_a_unit_test_count_too() -> None:
    settings = PluginSettings()
    settings.measure_hooks()
    first, second = settings.counter("a"), settings.counter("b")
    second.add()
    assert (first.value, second.value) == (0, 1)
