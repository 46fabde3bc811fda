"""Short names that are unique."""

from __future__ import annotations

import re

import pytest

from dcmrecv_builtin import short_unique
from support.plugins import FakeInstance


@pytest.mark.parametrize(("prefix", "shown"), [("MR", "MR"), ("UNKNOWN", "XX")])
def test_short_unique(prefix: str, shown: str) -> None:
    names = {short_unique.choose_filename(FakeInstance(modality_prefix=prefix)) for _ in range(100)}
    assert len(names) == 100
    for name in names:
        assert re.fullmatch(rf"{shown}_[0-9a-f]{{16}}", name.text)
        assert name.on_exists == "retry"
