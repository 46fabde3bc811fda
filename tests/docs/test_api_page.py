"""docs/plugins/api.md has every public name; no change of one is without its changelog entry, and none breaks the
promise of docs/plugins/api-version.md without another API_VERSION."""

from __future__ import annotations

import pytest

import dcmrecv_core
from dcmrecv_core import API_VERSION, testing
from dcmrecv_core.hooks.loader import HOOKS
from support.docs import api_page, api_promise
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


def test_the_interface_keeps_its_promise() -> None:
    """Since the last release. What is new raises the second number, what is gone or different the first one."""
    before, now = api_page.recorded(), api_page.signatures()
    released = api_promise.version_of(before)
    assert released <= API_VERSION
    if API_VERSION[0] == released[0]:
        assert api_promise.broken(before, now, HOOKS) == [], "plugins for this version rely on these"
    if released == API_VERSION:
        assert api_promise.changed(before, now) == [], "raise the second number of API_VERSION"


@pytest.mark.parametrize(
    ("before", "now", "keeps"),
    [
        ("f(a: int) -> str", "f(a: int) -> str", True),
        ("f(a: int) -> str", None, False),
        ("f(a: int) -> str", "f(a: int, b: int = 0) -> str", True),
        ("f(a: int) -> str", "f(a: int, *, b: int = 0) -> str", True),
        ("f(a: int) -> str", "f(a: int, b: int) -> str", False),
        ("f(a: int) -> str", "f(a: int, *, b: int) -> str", False),
        ("f(a: int) -> str", "f(b: int = 0, a: int = 0) -> str", False),
        ("f(a: int) -> str", "f(a: str) -> str", False),
        ("f(a: int) -> str", "f(*, a: int) -> str", False),
        ("f(a: int) -> str", "f(a: int) -> str | None", False),
        ("f(a: int) -> str", "f(a: int, **more: int) -> str", False),
        ("f(a: int = 0)", "f(a: int = 1)", False),
        ("f(a: int = 0)", "f()", False),
        ("f(*, a: int, b: int = 0)", "f(*, c: str = '', b: int = 0, a: int)", True),
        ("f(*, a: int, b: int = 0)", "f(*, a: int)", False),
        ("f(*many: int)", "f(*many: str)", False),
        ("hook(a: A) -> B | None", "hook(a: A, b: B) -> C | B | None", True),
        ("hook(a: A) -> B | None", "hook(b: B) -> B | None", False),
        ("hook(a: A) -> B | None", "hook(a: A) -> B", False),
        ("hook(a: A) -> B | None", "hook(a: B) -> B | None", False),
        ("X = A | B | None", "X = A | C | B | None", True),
        ("X = A | B | None", "X = A | None", False),
        ("X = Literal['a', 'b']", "X = Literal['a', 'b', 'c']", True),
        ("X = Literal['a', 'b']", "X = Literal['a', 'c']", False),
        ("RED = 1", "RED = 2", False),
        ("a: int", "a: int | None", False),
        ("class A(B)", "class A", False),
        ("class A", "class A(B)", False),
        ("Name(text: str = '')", "Name(text: str = '', more: int = 0)", True),
    ],
)
def test_what_keeps_the_promise(before: str, now: str | None, keeps: bool) -> None:
    name = before.partition("(")[0]
    assert api_promise.broken({name: before}, {name: now} if now else {}, {"hook"}) == [name] * (not keeps)
    assert api_promise.changed({name: before}, {name: now} if now else {}) == [name] * (now != before)


def test_what_public_docstrings_name_can_be_imported() -> None:
    assert api_page.named_but_not_public() == []
