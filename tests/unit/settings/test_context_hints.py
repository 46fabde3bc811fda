"""The lines that the log offers: pasted into a configuration, they accept what was refused."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from dcmrecv_core import load_profile
from dcmrecv_core.api.model import ProposedContext
from dcmrecv_core.api.verdicts import SupportedContext
from dcmrecv_core.config import context_tables
from dcmrecv_core.config.toml_place import Place
from dcmrecv_core.proto.negotiation import negotiate
from dcmrecv_core.settings.context_hints import MAX_CLASSES, MAX_SYNTAXES, hint_for, log_lines
from dcmrecv_core.settings.uids import storage_sop_classes, transfer_syntaxes
from support.uids import CT, EXPLICIT_LE, FIND, IMPLICIT_LE, JPEG, MR, PRIVATE_CLASS, PRIVATE_SYNTAX, VERIFICATION


def contexts(*proposed: tuple[str, list[str]]) -> list[ProposedContext]:
    return [
        ProposedContext(2 * number + 1, abstract, tuple(syntaxes))
        for number, (abstract, syntaxes) in enumerate(proposed)
    ]


REFUSED = {
    "one": contexts((CT, [EXPLICIT_LE])),
    "lists that differ": contexts((CT, [EXPLICIT_LE, IMPLICIT_LE]), (MR, [JPEG])),
    "one class in several contexts": contexts(
        (CT, [EXPLICIT_LE]), (CT, [IMPLICIT_LE]), (MR, [EXPLICIT_LE, IMPLICIT_LE])
    ),
    "unknown UIDs": contexts((PRIVATE_CLASS, [PRIVATE_SYNTAX])),
    "verification": contexts((VERIFICATION, [IMPLICIT_LE])),
}


def from_profile(lines: tuple[str, ...], directory: Path) -> tuple[SupportedContext, ...]:
    path = directory / "hint.cfg"
    path.write_text("\n".join(lines) + "\n")
    return load_profile(str(path), "Refused")


def from_toml(lines: tuple[str, ...]) -> tuple[SupportedContext, ...]:
    return context_tables.read(Place("hint.toml") / "contexts", tomllib.loads("\n".join(lines))["contexts"])


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_they_accept_what_was_refused(tmp_path: Path, refused: list[ProposedContext]) -> None:
    hint = hint_for(refused)
    assert hint.left_out == 0
    for supported in (from_profile(hint.asconfig, tmp_path), from_toml(hint.toml)):
        assert [result.result for result in negotiate(refused, supported).results] == [0] * len(refused)
        assert {context.abstract_syntax for context in supported} == {context.abstract_syntax for context in refused}


def test_names_where_they_are_known() -> None:
    hint = hint_for(contexts((CT, [JPEG, PRIVATE_SYNTAX])))
    assert hint.toml == (
        "[[contexts]]",
        'abstract_syntaxes = ["CTImageStorage"]',
        f'transfer_syntaxes = ["JPEGBaseline", "{PRIVATE_SYNTAX}"]',
    )
    assert "PresentationContext1 = CTImageStorage\\Refused1" in hint.asconfig


LEFT_OUT = {
    "another service": contexts((FIND, [IMPLICIT_LE])),
    "no UID": contexts(('1.2"\n[x]', [IMPLICIT_LE])),
    "a syntax that is no UID": contexts((CT, ["x" * 10])),
    "too long": contexts(("1" * 65, [IMPLICIT_LE])),
    "too many syntaxes": contexts((CT, list(transfer_syntaxes()[: MAX_SYNTAXES + 1]))),
}


WHO = "CT1 (10.0.0.5) to ARCHIVE"


@pytest.mark.parametrize("refused", LEFT_OUT.values(), ids=LEFT_OUT)
def test_left_out(refused: list[ProposedContext]) -> None:
    assert hint_for(refused) == ((), (), 1)
    assert log_lines(refused, WHO) == []
    both = [*refused, *contexts((MR, [IMPLICIT_LE]))]
    assert hint_for(both)[1:] == (hint_for(both[1:]).toml, 1)
    assert log_lines(both, WHO)[0] == (
        f"2 presentation contexts of {WHO} refused; a profile (-xf) that accepts them, but 1 of them:"
    )


def test_as_many_as_a_peer_may_propose_make_few_lines() -> None:
    syntaxes = transfer_syntaxes()
    proposed = [
        (uid, [*syntaxes[place % 9 : place % 9 + MAX_SYNTAXES]]) for place, uid in enumerate(storage_sop_classes())
    ]
    refused = contexts(*proposed[:128])
    assert hint_for(refused).left_out == len(refused) - MAX_CLASSES
    assert len(log_lines(refused, WHO)) <= 8 + MAX_CLASSES * (MAX_SYNTAXES + 5)
