"""The claim to an idle worker: only one process has it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from dcmrecv_core.net.claim import Claim


@pytest.fixture
def claim() -> Iterator[Claim]:
    made = Claim()
    made.open()
    yield made
    made.close()


def test_it_is_taken_once_after_each_offer(claim: Claim) -> None:
    assert not claim.take()
    for _ in range(2):
        claim.offer()
        assert (claim.take(), claim.take()) == (True, False)


def test_of_two_processes_one_has_it(claim: Claim) -> None:
    claim.offer()
    pid = os.fork()
    if not pid:
        os._exit(claim.take())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) + claim.take() == 1


def test_one_that_nobody_shares_is_always_there() -> None:
    claim = Claim()
    claim.offer()
    assert (claim.take(), claim.take()) == (True, True)
    claim.close()
