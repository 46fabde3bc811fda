"""Each parser reads mutants of valid inputs for some seconds, always the same ones; a state machine calls the protocol
core in any order, as peers and callers can. tests/fuzz has the same targets for atheris."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from dcmrecv_core.logs import console
from support.fuzz.acceptor_machine import AcceptorMachine
from support.fuzz.mutants import next_input
from support.fuzz.targets import TARGETS, Target
from support.promises.promises import promise

pytestmark = promise(27)

LONGEST = 5.0
"""Seconds for one input, on a machine that others use: none may hang."""


@pytest.fixture(autouse=True)
def complaints_unheard(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Discards the complaints about log4cplus files: they are some megabytes on standard error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    monkeypatch.setattr(console, "STDERR", nowhere)
    yield
    os.close(nowhere)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_target(target: Target, count: Callable[[int, int], int], figure: Callable[[str], None]) -> None:
    seeds, chance = target.seeds(), random.Random(27)
    for seed in seeds:
        read(target, seed)
    end, inputs = time.monotonic() + count(3, 60), 0
    while time.monotonic() < end:
        read(target, next_input(chance, seeds, target.words))
        inputs += 1
    figure(f"{target.name}: {inputs} inputs")


def read(target: Target, data: bytes) -> None:
    """Raises any exception again with the input, to be put into tests/fuzz/corpus."""
    start = time.monotonic()
    try:
        target.fuzz_one(data)
    except Exception as error:
        raise AssertionError(f"{target.name}: {data.hex()}") from error
    assert time.monotonic() - start < LONGEST, f"{target.name}: {data.hex()}"


def test_state_machine(count: Callable[[int, int], int], figure: Callable[[str], None]) -> None:
    runs = count(100, 3000)
    run_state_machine_as_test(
        AcceptorMachine,
        settings=settings(
            max_examples=runs,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # the steps of a failure are told, shorter ones could take minutes
        ),
    )
    figure(f"protocol core: {runs} sequences of 30 steps")


def test_what_a_parser_must_not_raise_is_noticed() -> None:
    """A target that raises at one byte in a place: the mutants find it."""

    def fuzz_one(data: bytes) -> None:
        if data[2:3] == b"\x7f":
            raise IndexError

    broken = Target("broken", fuzz_one, lambda: [bytes(8)])
    chance = random.Random(27)
    with pytest.raises(AssertionError, match="broken: "):
        for _ in range(10_000):
            read(broken, next_input(chance, broken.seeds()))
