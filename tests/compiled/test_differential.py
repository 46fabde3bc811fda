"""Compiled and Python parts have the same result for mutants of valid inputs, always the same ones: some seconds for
each target, minutes with --full."""

from __future__ import annotations

import random
import time

import pytest

from dcmrecv_core.dataset import regular_walk
from support.fuzz.differential_targets import TARGETS
from support.fuzz.mutants import next_input
from support.fuzz.targets import Target


def fuzz(target: Target, seconds: float) -> None:
    """Reads the seeds, and mutants of them for that time."""
    seeds, chance = target.seeds(), random.Random(27)
    for seed in seeds:
        read(target, seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        read(target, next_input(chance, seeds, target.words))


def read(target: Target, data: bytes) -> None:
    try:
        target.fuzz_one(data)
    except Exception as error:
        raise AssertionError(f"{target.name}: {data.hex()}") from error


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_mutants(target: Target, seconds: float) -> None:
    fuzz(target, seconds)


def test_another_result_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk that takes pixel data of either form."""
    right = regular_walk.walk

    def walk(
        data: memoryview, size: int, form: regular_walk.HeaderFormat, encapsulated: bool, whole: bool, most: int
    ) -> regular_walk.Elements:
        both = [right(data, size, form, each, whole, most) for each in (False, True)]
        return max(both, key=lambda found: found.end)

    monkeypatch.setattr(regular_walk, "walk", walk)
    with pytest.raises(AssertionError, match="walk: ") as caught:
        fuzz(TARGETS[0], 30)
    assert isinstance(caught.value.__cause__, AssertionError), "another result, not a failure"
