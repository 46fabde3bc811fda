"""docs/plugins/api.md has every public name; no change of one is without its changelog entry."""

from __future__ import annotations

import pytest

import dcmrecv_core
from dcmrecv_core import testing
from dcmrecv_core.hooks.loader import HOOKS
from support.docs import api_page
from support.docs.blocks import WRITE


def test_the_page_is_the_one_that_is_made() -> None:
    assert api_page.PAGE.read_text() == api_page.page(), WRITE


def test_every_public_name_is_on_it() -> None:
    names = {name.removeprefix("testing.") for name in api_page.signatures()}
    assert {*dcmrecv_core.__all__, *testing.__all__, *HOOKS} <= names


def test_every_change_of_the_interface_is_in_the_changelog() -> None:
    """Name it in a code span of a fragment in changes/: `Instance.get`, or `get`."""
    missing = api_page.unmentioned(api_page.recorded(), api_page.signatures(), api_page.fragments())
    assert missing == [], "name these in a fragment in changes/"


BEFORE = {"Name": "class Name", "Name.text": "text: str", "Name.__init__": "Name(text: str)", "escape": "escape(text)"}


@pytest.mark.parametrize(
    ("change", "fragments", "missing"),
    [
        ({}, "", []),
        ({"uid_of": "uid_of(name)"}, "", ["uid_of"]),
        ({"uid_of": "uid_of(name)"}, "uid_of without a code span", ["uid_of"]),
        ({"uid_of": "uid_of(name)"}, "`uid_of(name)` is new.", []),
        ({"escape": "escape(text, extension)"}, "`escapes`", ["escape"]),
        ({"escape": "escape(text, extension)"}, "`escape` takes `extension`", []),
        ({"escape": None}, "", ["escape"]),
        ({"Name.text": "text: bytes"}, "`Name`", ["Name.text"]),
        ({"Name.text": "text: bytes"}, "`Name.text`", []),
        ({"Name.__init__": "Name(text: bytes)"}, "", ["Name.__init__"]),
        ({"Name.__init__": "Name(text: bytes)"}, "`Name`", []),
        ({"Name": None, "Name.text": None, "Name.__init__": None}, "", ["Name"]),
        ({"Also": "class Also", "Also.contexts": "contexts: tuple"}, "", ["Also"]),
        ({"Also": "class Also", "Also.contexts": "contexts: tuple"}, "`Also`", []),
    ],
)
def test_what_has_to_be_named(change: dict[str, str | None], fragments: str, missing: list[str]) -> None:
    now = {name: signature for name, signature in {**BEFORE, **change}.items() if signature is not None}
    assert api_page.unmentioned(BEFORE, now, fragments) == missing


def test_what_public_docstrings_name_can_be_imported() -> None:
    assert api_page.named_but_not_public() == []
