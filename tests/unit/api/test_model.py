"""What hooks see cannot be changed by mistake."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from dcmrecv_core import Association

ASSOCIATION = Association("SCANNER", "ARCHIVE", "192.0.2.7", 4711, "1")


@pytest.mark.parametrize("name", [field.name for field in fields(Association)])
def test_an_association_cannot_be_changed(name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(ASSOCIATION, name, None)


def test_what_plugins_pass_on_is_their_own() -> None:
    first, second = (Association("A", "B", "192.0.2.7", 1, "1") for _ in range(2))
    assert first == second and hash(first) == hash(second)
    first.state["site"] = 1
    assert second.state == {}
    assert hash(first) == hash(second), "may be a key, whatever plugins keep in it"
