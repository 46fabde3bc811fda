"""docs/options.md has the program's table of options."""

from __future__ import annotations

from support.docs.blocks import PAGES
from support.docs.options_page import BEGIN, END, tables


def test_every_option_is_described() -> None:
    assert PAGES["options.md"].partition(BEGIN)[2].partition(END)[0] == tables(), f"run {__file__}"
