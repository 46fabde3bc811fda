"""The lines of an association profile and of a settings file that would accept what a negotiation refused.

They are meant to be pasted, and peers propose what they like: so the lines are bounded, and hold only well-formed UIDs
and names from our own table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from dcmrecv_core.api.model import ProposedContext
from dcmrecv_core.settings.contexts import VERIFICATION
from dcmrecv_core.settings.uids import is_other_service, name_of

MAX_CLASSES = 8
MAX_SYNTAXES = 8
"""Of one class. `-pm` is the better answer to more."""

MAX_SHOWN = 4
"""Classes, and syntaxes of each, in one line."""

_UID = re.compile(r"[0-9.]{1,64}")


class Hint(NamedTuple):
    """The lines, none if nothing could be accepted; `left_out` contexts are not in them."""

    asconfig: tuple[str, ...]
    toml: tuple[str, ...]
    left_out: int


def hint_for(refused: Sequence[ProposedContext]) -> Hint:
    """The lines that accept these contexts, but for services that this receiver does not have and malformed UIDs."""
    wanted: dict[str, dict[str, None]] = {}
    left_out = 0
    for context in refused:
        uid = context.abstract_syntax
        syntaxes = wanted.get(uid, {}) | dict.fromkeys(context.transfer_syntaxes)
        too_many = len(syntaxes) > MAX_SYNTAXES or (uid not in wanted and len(wanted) == MAX_CLASSES)
        if too_many or not _can_be_accepted(uid, tuple(syntaxes)):
            left_out += 1
        else:
            wanted[uid] = syntaxes
    groups: dict[tuple[str, ...], list[str]] = {}
    for uid, syntaxes in wanted.items():
        groups.setdefault(tuple(map(_name, syntaxes)), []).append(_name(uid))
    return Hint(_asconfig(groups), _toml(groups), left_out)


def log_lines(refused: Sequence[ProposedContext], sender: str) -> list[str]:
    """The same for the log."""
    hint = hint_for(refused)
    if not hint.toml:
        return []
    more = f", but {hint.left_out} of them" if hint.left_out else ""
    return [
        f"{len(refused)} presentation contexts of {sender} refused; a profile (-xf) that accepts them{more}:",
        *(f"  {line}" for line in hint.asconfig),
        "or, in the settings file (--settings):",
        *(f"  {line}" for line in hint.toml),
    ]


def shown(contexts: Sequence[ProposedContext]) -> str:
    """Contexts in one line: `CTImageStorage (JPEGBaseline, JPEG2000), MRImageStorage (...)`, the first few of them."""
    classes: dict[str, dict[str, None]] = {}
    for context in contexts:
        classes.setdefault(context.abstract_syntax, {}).update(dict.fromkeys(context.transfer_syntaxes))
    return _listed([f"{_name(uid)} ({_listed(list(map(_name, syntaxes)))})" for uid, syntaxes in classes.items()])


def _listed(texts: Sequence[str]) -> str:
    return ", ".join((*texts[:MAX_SHOWN], *["..."] * (len(texts) > MAX_SHOWN)))


def _can_be_accepted(uid: str, syntaxes: tuple[str, ...]) -> bool:
    return all(map(_UID.fullmatch, (uid, *syntaxes))) and (uid == VERIFICATION or not is_other_service(uid))


def _name(uid: str) -> str:
    return name_of(uid) or uid


def _asconfig(groups: dict[tuple[str, ...], list[str]]) -> tuple[str, ...]:
    if not groups:
        return ()
    lines = ["[[TransferSyntaxes]]"]
    contexts: list[str] = []
    for number, (syntaxes, classes) in enumerate(groups.items(), 1):
        lines.append(f"[Refused{number}]")
        lines += [f"TransferSyntax{place} = {name}" for place, name in enumerate(syntaxes, 1)]
        contexts += [f"{name}\\Refused{number}" for name in classes]
    lines += ["[[PresentationContexts]]", "[Refused]"]
    lines += [f"PresentationContext{place} = {context}" for place, context in enumerate(contexts, 1)]
    return (*lines, "[[Profiles]]", "[Refused]", "PresentationContexts = Refused")


def _toml(groups: dict[tuple[str, ...], list[str]]) -> tuple[str, ...]:
    lines: list[str] = []
    for syntaxes, classes in groups.items():
        lines += ["[[contexts]]", f"abstract_syntaxes = {_array(classes)}", f"transfer_syntaxes = {_array(syntaxes)}"]
    return tuple(lines)


def _array(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
