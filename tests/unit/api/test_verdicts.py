"""Verdicts check themselves when they are made: a plugin's own unit test shows its mistake."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from dcmrecv_core import Accept, Also, Discard, Name, Refuse, Reject, RejectReason, SupportedContext, Warn
from dcmrecv_core.api.verdicts import checked_contexts, is_failure
from support.uids import VERIFICATION

CONTEXT = SupportedContext(VERIFICATION, None)

WRONG: list[tuple[Callable[..., object], tuple[Any, ...], type[Exception], str]] = [
    (Refuse, (0x0000,), ValueError, "0000 is not a failure status: Refuse takes Axxx, Cxxx, 01xx and 02xx"),
    (Refuse, (0xB000,), ValueError, "B000 is not a failure status.* return Warn"),
    (Refuse, (0xFF00,), ValueError, "FF00"),
    (Refuse, (0x0107,), ValueError, "without the warnings 0107 and 0116"),
    (Refuse, (0x1C000,), ValueError, "1C000"),
    (Refuse, (-0x3000,), ValueError, "-3000"),
    (Refuse, ("C000",), TypeError, "a status is an int, not 'C000'"),
    (Refuse, (True,), TypeError, "not True"),
    (Refuse, (0xC000, None), TypeError, "a comment is a str, not None"),
    (Warn, (0x0000,), ValueError, "0000 is not a warning status: Warn takes Bxxx"),
    (Warn, (0xA700,), ValueError, "return Refuse"),
    (Warn, (0x1B000,), ValueError, "1B000"),
    (Warn, (None,), TypeError, "not None"),
    (Warn, (0xB000, b"odd"), TypeError, "not b'odd'"),
    (Discard, (7,), TypeError, "a reason is a str, not 7"),
    (Reject, ("congestion",), TypeError, "a RejectReason and a bool expected, not 'congestion'"),
    (Reject, (RejectReason.NO_REASON, "yes"), TypeError, "'yes'"),
    (Name, (7,), TypeError, "a file name is a str, not 7"),
    (Name, ("",), ValueError, "empty"),
    (Name, (".",), ValueError, "'.'"),
    (Name, ("..",), ValueError, "'..'"),
    (Name, ("a/b",), ValueError, "separator"),
    (Name, ("/x",), ValueError, "separator"),
    (Name, ("a\0",), ValueError, "NUL"),
    (Name, ("x", "destroy"), ValueError, "on_exists is one of replace-same, .*, or None, not 'destroy'"),
    (Name, ("x", []), ValueError, re.escape("not []")),
    (Name, ("x", None, "destroy"), ValueError, "by_default is one of replace-same, .*, not 'destroy'"),
    (Name, ("x", None, None), ValueError, "not None"),
    (Also, (CONTEXT,), TypeError, "an iterable of SupportedContext expected"),
    (Also, ([VERIFICATION],), TypeError, "an iterable of SupportedContext expected"),
    (Also, (VERIFICATION,), TypeError, "an iterable of SupportedContext expected"),
    (Accept, (None,), TypeError, "an iterable of SupportedContext expected"),
    (Accept, ([CONTEXT], "ticket"), TypeError, "^identity_response is bytes or None$"),
    (Accept, ([CONTEXT], bytes(0xFFFE)), ValueError, "65534 bytes of identity response do not fit"),
    (SupportedContext, (VERIFICATION, VERIFICATION), TypeError, "expected"),
    (SupportedContext, (VERIFICATION, b"1.2"), TypeError, "expected"),
    (SupportedContext, (7, None), TypeError, "expected"),
    (SupportedContext, (VERIFICATION, 7), TypeError, "iterable"),
    (SupportedContext, (VERIFICATION, [7]), TypeError, "expected"),
    (SupportedContext, (VERIFICATION, None, "SCU"), TypeError, "expected"),
    (SupportedContext, (VERIFICATION, None, None, "01"), TypeError, "expected"),
    (SupportedContext, (VERIFICATION, None, None, bytes(0xFFFE - len(VERIFICATION))), ValueError, "do not fit"),
]


@pytest.mark.parametrize(
    ("verdict", "arguments", "error", "text"), WRONG, ids=[f"{made.__name__}-{text}" for made, _, _, text in WRONG]
)
def test_a_wrong_verdict_cannot_be_made(
    verdict: Callable[..., object], arguments: tuple[Any, ...], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        verdict(*arguments)


RIGHT = [
    Refuse(0xC000, "no"),
    Refuse(0x0124),
    Refuse(0xA700, "x" * 100),
    Warn(0xB007, "odd"),
    Discard(),
    Reject(RejectReason.LOCAL_LIMIT_EXCEEDED, transient=True),
    Name("x"),
    Name("x", "keep", "overwrite"),
    Accept((CONTEXT,), b"ticket"),
    SupportedContext(VERIFICATION, None, extended=bytes(0xFFFD - len(VERIFICATION))),
]


@pytest.mark.parametrize("verdict", RIGHT, ids=[type(one).__name__ for one in RIGHT])
def test_right_verdicts_are_values(verdict: object) -> None:
    assert hash(verdict) == hash(verdict)
    with pytest.raises(FrozenInstanceError):
        setattr(verdict, fields(verdict)[0].name, None)  # type: ignore[arg-type]


def test_any_iterable_of_contexts() -> None:
    assert Also([CONTEXT]) == Also(iter([CONTEXT])) == Also((CONTEXT,))
    assert Accept({CONTEXT}).contexts == (CONTEXT,)  # type: ignore[arg-type]


def test_a_tuple_of_contexts_stays_the_same_object() -> None:
    """The cache of answers compares by identity."""
    contexts = (CONTEXT, CONTEXT)
    assert checked_contexts(contexts) is contexts
    assert Also(contexts).contexts is contexts


def test_transfer_syntaxes_may_be_a_list() -> None:
    assert SupportedContext(VERIFICATION, ["1.2"]) == SupportedContext(VERIFICATION, ("1.2",))


@pytest.mark.parametrize("status", [0xA700, 0xA9FF, 0xC000, 0xCFFF, 0x0110, 0x0124, 0x0211])
def test_failures(status: int) -> None:
    assert is_failure(status)
