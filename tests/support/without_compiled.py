"""Runs code without the compiled parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dcmrecv_core import compiled


def in_python(action: Callable[[], Any]) -> Any:
    """The result of `action` without the compiled parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "AVAILABLE", False)
        return action()
