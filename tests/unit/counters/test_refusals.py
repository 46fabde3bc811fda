"""The last refusals and their counts, against a simple model."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.counters.memory import CounterMemory
from dcmrecv_core.counters.refusals import LAST, MOST_SHOWN, OTHER_REASONS, REASONS, Reason, Refusal, merged

KINDS = st.sampled_from(["association", "instance"])


def refusal(at: float, sender: str = "CT3", reason: str = "no") -> Refusal:
    return Refusal(at, 1, "instance", "A700", sender, "ARCHIVE", "10.0.0.5", reason)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(KINDS, st.sampled_from("abcdefgh"), st.sampled_from(["A700", "C000"])), max_size=60))
def test_the_last_ones(given: list[tuple[str, str, str]]) -> None:
    """Equal ones are one, with the last time and their number."""
    slot = CounterMemory(1).workers[0]
    expected: dict[tuple[str, str, str], tuple[float, int]] = {}
    for number, (kind, reason, status) in enumerate(given):
        slot.refusals.add(Refusal(number + 1.0, 1, kind, status, "CT3", "", "10.0.0.5", reason))
        expected[kind, reason, status] = (number + 1.0, expected.get((kind, reason, status), (0.0, 0))[1] + 1)
    found = {(each.kind, each.reason, each.status): (each.at, each.times) for each in slot.refusals}
    assert found == dict(sorted(expected.items(), key=lambda item: item[1][0])[-LAST:])


def test_the_oldest_makes_room() -> None:
    slot = CounterMemory(1).workers[0]
    for number in range(LAST + 5):
        slot.refusals.add(refusal(number + 1.0, reason=f"number {number}"))
    assert sorted(each.at for each in slot.refusals) == [number + 1.0 for number in range(5, LAST + 5)]


def test_long_texts_are_cut_between_characters() -> None:
    slot = CounterMemory(1).workers[0]
    slot.refusals.add(refusal(1.0, reason="ä" * 200))
    [found] = slot.refusals
    assert found.reason == "ä" * (len(found.reason)) and 80 < len(found.reason) < 200


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, REASONS + 20), max_size=300))
def test_counts(numbers: list[int]) -> None:
    """Those for which there is no place are counted together."""
    slot = CounterMemory(1).workers[0]
    kept: list[str] = []
    expected: Counter[str] = Counter()
    for number in numbers:
        text = f"reason {number}"
        if text not in kept and len(kept) < REASONS - 1:
            kept.append(text)
        expected[text if text in kept else OTHER_REASONS] += 1
        slot.refusal_counts.add(Reason("instance", "A700", text))
    assert {reason.text: count for reason, count in slot.refusal_counts} == expected


def test_those_of_all_processes_together() -> None:
    memory = CounterMemory(3)
    memory.workers[0].refusals.add(refusal(5.0))
    memory.workers[1].refusals.add(refusal(3.0))
    memory.workers[1].refusals.add(refusal(4.0, sender="MR1"))
    memory.workers[2].refusals.add(refusal(9.0, sender="US"))
    found = merged(slot.refusals for slot in memory.slots)
    assert [(each.calling_ae_title, each.at, each.times) for each in found] == [
        ("MR1", 4.0, 1),
        ("CT3", 5.0, 2),
        ("US", 9.0, 1),
    ]


def test_no_more_than_can_be_read() -> None:
    memory = CounterMemory(10)
    for number in range(10 * LAST):
        memory.workers[number % 10].refusals.add(refusal(number + 1.0, reason=str(number)))
    found = merged(slot.refusals for slot in memory.slots)
    assert [each.reason for each in found] == [str(number) for number in range(10 * LAST - MOST_SHOWN, 10 * LAST)]
