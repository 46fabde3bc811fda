"""docs/options.md has the program's table of options."""

from __future__ import annotations

from support.docs.blocks import WRITE
from support.docs.options_page import PAGE, generated


def test_every_option_is_described() -> None:
    assert PAGE.read_text() == generated(PAGE.read_text()), WRITE
