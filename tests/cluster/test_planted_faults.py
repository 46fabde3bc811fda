"""The tests of the tests of promise 45: its patches in tests/promises/faults break it, and they have to notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.promises.planting import assert_noticed, copy_sources, faults_of

HERE = Path(__file__).parent
SLOW = ("45_committed_at_the_end", "45_leases_do_not_end")
"""Faults that are planted with --full only: the first is noticed only if a node is killed at the right moment."""


@pytest.mark.timeout(1860)
@pytest.mark.parametrize("patch", faults_of(HERE), ids=lambda patch: patch.stem)
def test_fault_is_noticed(patch: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    assert_noticed(patch, HERE, copy_sources(tmp_path), full=request.config.getoption("full"), slow=SLOW)
