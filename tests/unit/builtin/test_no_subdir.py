"""All files in one directory."""

from __future__ import annotations

from dcmrecv_builtin import no_subdir
from support.plugins import FakeInstance


def test_no_subdir() -> None:
    assert no_subdir.choose_subdir(FakeInstance()) == ""
