"""Signals that arrive while the flags are read."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from dcmrecv_core.net.supervisor.signals import SignalFlags


class SignalWhileLooking(set[int]):
    """Flags among which SIGTERM arrives just after a look at that of another signal."""

    def __contains__(self, number: object) -> bool:
        found = super().__contains__(number)
        if number == signal.SIGINT:
            os.kill(os.getpid(), signal.SIGTERM)
        return found


@pytest.fixture
def flags() -> Iterator[SignalFlags]:
    flags = SignalFlags()
    before = signal.signal(signal.SIGTERM, flags._on_signal)
    yield flags
    signal.signal(signal.SIGTERM, before)


def test_the_first_one_that_has_arrived_stands_for_all_of_them(flags: SignalFlags) -> None:
    flags.raised = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
    assert flags.take(signal.SIGTERM, signal.SIGINT) == signal.SIGTERM
    assert flags.raised == {signal.SIGCHLD}
    assert flags.take(signal.SIGTERM, signal.SIGINT) is None


@pytest.mark.parametrize("also", [[], [signal.SIGINT]], ids=["none", "SIGINT"])
def test_a_signal_that_arrives_after_the_look_at_its_flag_is_kept(flags: SignalFlags, also: list[int]) -> None:
    flags.raised = SignalWhileLooking(also)
    assert flags.take(signal.SIGTERM, signal.SIGINT) == (also[0] if also else None)
    assert flags.raised == {signal.SIGTERM}
    assert flags.take(signal.SIGTERM, signal.SIGHUP) == signal.SIGTERM
