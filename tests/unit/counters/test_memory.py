"""The slots of a receiver's processes."""

from __future__ import annotations

from dcmrecv_core.counters.memory import OTHERS, CounterMemory


def test_a_title_keeps_its_slot() -> None:
    memory = CounterMemory(2)
    first, second = memory.other("background of plugin a"), memory.other("background of plugin b")
    assert memory.other("background of plugin a") is first
    assert first is not second
    assert first in memory.slots and first not in memory.receiving


def test_too_many_processes_count_for_themselves() -> None:
    memory = CounterMemory(2)
    slots = [memory.other(str(number)) for number in range(OTHERS + 3)]
    assert sum(slot in memory.slots for slot in slots) == OTHERS - 1
    slots[-1].plugin_counters[0] += 1
    assert not any(slot.plugin_counters[0] for slot in memory.slots)
