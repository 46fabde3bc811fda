"""The line of a plugin that failed: its own innermost one, not the receiver's, not Python's import."""

from __future__ import annotations

import json
import re

import pytest

from dcmrecv_core.api.names import escape
from dcmrecv_core.hooks.places import place_of


def raised(code: str, **names: object) -> BaseException:
    """The error that this code, in a module called `site.naming`, raises."""
    with pytest.raises(Exception) as caught:
        exec(compile(code, "/site/naming.py", "exec"), {"__name__": "site.naming"} | names)
    return caught.value


def test_its_own_line() -> None:
    assert place_of(raised("def inner():\n    1 / 0\n\ninner()"), "site.naming") == "/site/naming.py:2"


def test_the_line_that_calls_a_library() -> None:
    assert place_of(raised("\njson.loads('x')", json=json), "site") == "/site/naming.py:2"


def test_the_line_that_calls_the_receiver() -> None:
    error = raised("\nescape('x', 'y' * 999)", escape=escape)
    assert place_of(error, "site.naming") == "/site/naming.py:2"
    assert place_of(error, "dcmrecv_core").endswith("naming.py:2")


def test_a_module_that_is_not_known() -> None:
    assert re.search(r"json/decoder\.py:\d+$", place_of(raised("json.loads('x')", json=json), None))


def test_a_syntax_error() -> None:
    assert (
        place_of(SyntaxError("invalid syntax", ("/site/naming.py", 7, 1, "x y")), "site.naming") == "/site/naming.py:7"
    )
    assert place_of(SyntaxError("malformed", ("<unknown>", 1, 1, "x")), "site.naming") == ""


def test_an_error_that_was_never_raised() -> None:
    assert place_of(ValueError(), "site") == ""
