"""Burned In Annotation (0028,0301), as senders write it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from treated import Site, element, with_elements


@pytest.mark.parametrize("vr", ["CS", "UN", "LO"])
@pytest.mark.parametrize("value", ["YES", "YES ", "yes", " Yes", "YES\0", "YES\\NO", "NO\\YES "])
def test_yes_is_refused(site: Callable[..., Site], vr: str, value: str) -> None:
    refusal = site().judge(with_elements([element(0x00280301, vr, value)]))
    assert refusal is not None and refusal.status == 0x0124


@pytest.mark.parametrize("value", ["NO", "", "NO\\NO", "YESTERDAY"])
def test_others_are_not(site: Callable[..., Site], value: str) -> None:
    assert site().judge(with_elements([element(0x00280301, "CS", value)])) is None
