"""Both ways are compared here, so both have to be there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dcmrecv_core import compiled


@pytest.fixture(autouse=True)
def compiled_parts() -> None:
    assert compiled.AVAILABLE, "dcmrecv-compiled is not installed, or of another release"


def in_python(action: Callable[[], Any]) -> Any:
    """The result of `action` without the compiled parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "AVAILABLE", False)
        return action()
