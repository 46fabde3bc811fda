"""The tests that docs/threat-model.md names exist."""

from __future__ import annotations

import re

from support.docs.blocks import PAGES
from support.paths import ROOT

PAGE = PAGES["threat-model.md"]


def test_tests_that_are_named_exist() -> None:
    named = set(re.findall(r"`((?:plugins/[\w-]+/)?tests/[\w/]+\.py)`", PAGE))
    assert named
    assert {name for name in named if not (ROOT / name).is_file()} == set()
