"""`--ignore`."""

from __future__ import annotations

from dcmrecv_builtin import ignore
from dcmrecv_core import Discard


def test_ignore() -> None:
    assert ignore.receive() == Discard("--ignore")
