"""Errors that plugins raise check what they are made of."""

from __future__ import annotations

import math

import pytest

from dcmrecv_core import TryAgain


@pytest.mark.parametrize("seconds", [-1, math.inf, math.nan])
def test_seconds_until_the_next_attempt(seconds: float) -> None:
    assert TryAgain("down").after is None
    assert TryAgain("down", 0.5).after == 0.5
    with pytest.raises(ValueError, match="seconds expected"):
        TryAgain("down", seconds)
