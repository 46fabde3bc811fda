"""Names with a UID of our own."""

from __future__ import annotations

import re

from dcmrecv_builtin import unique
from support.plugins import FakeInstance


def test_unique() -> None:
    names = {unique.choose_filename(FakeInstance()) for _ in range(100)}
    assert len(names) == 100
    for name in names:
        assert re.fullmatch(r"CT\.X\.2\.25\.[1-9][0-9]*", name.text)
        assert len(name.text.removeprefix("CT.X.")) <= 64
        assert name.on_exists == "retry"
