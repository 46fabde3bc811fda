"""All rows: each covers a rule of its own, and docs/parity.md is made from them."""

from __future__ import annotations

from collections import Counter

from support.parity.parity_page import PAGE, page
from support.parity.rules import all_rows


def test_no_rule_is_covered_twice() -> None:
    rules = Counter(row.rule for row in all_rows())
    assert [rule for rule, count in rules.items() if count > 1] == []


def test_no_input_is_given_twice() -> None:
    inputs = Counter((row.kind, repr(row.input)) for row in all_rows())
    assert [given for given, count in inputs.items() if count > 1] == []


def test_differences_are_documented() -> None:
    assert page(all_rows()) == PAGE.read_text(), "run tox -e generate"
