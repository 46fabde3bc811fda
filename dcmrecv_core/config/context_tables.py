"""`[[contexts]]`: presentation contexts as tables of a settings file.

    [[contexts]]
    abstract_syntaxes = ["CTImageStorage", "MRImageStorage"]    # or abstract_syntax = "..."; names or UIDs, or "*"
    transfer_syntaxes = ["LittleEndianExplicit"]                # in our order; left out: any
    role = "SCU"                                                # optional: SCU, SCP or BOTH
    extended = "0102"                                           # optional: hexadecimal application information

Several tables with one abstract syntax count together, as several sources of contexts do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from dcmrecv_core.api.verdicts import Role, SupportedContext
from dcmrecv_core.config.toml_place import Place
from dcmrecv_core.settings import uids

MAX_EXTENDED = 1024
"""Bytes of application information, as in association profiles."""

ANY_CLASS = "*"
"""Stands for Verification and every SOP class that may be stored, as `-pm` accepts them."""

_KEYS = ("abstract_syntax", "abstract_syntaxes", "transfer_syntaxes", "role", "extended")
_EXTENDED = re.compile(rf"(?:[0-9A-Fa-f]{{2}}){{1,{MAX_EXTENDED}}}")


def read(place: Place, value: object) -> tuple[SupportedContext, ...]:
    """The contexts of the tables at `place`. Raises ConfigurationError."""
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        place.refuse(value, "an array of tables ([[contexts]])")
    contexts: list[SupportedContext] = []
    for number, table in enumerate(value, 1):
        contexts += _read_table(place.item(number), table)
    return tuple(contexts)


def _read_table(place: Place, table: dict[str, Any]) -> Iterable[SupportedContext]:
    place.check_keys(table, _KEYS)
    if ("abstract_syntax" in table) == ("abstract_syntaxes" in table):
        place.fail("either abstract_syntax or abstract_syntaxes expected")
    if "abstract_syntax" in table:
        classes = [_read_uid(place / "abstract_syntax", table["abstract_syntax"], transfer=False)]
    else:
        classes = _read_uids(place / "abstract_syntaxes", table["abstract_syntaxes"], transfer=False)
    syntaxes = None
    if "transfer_syntaxes" in table:
        syntaxes = tuple(_read_uids(place / "transfer_syntaxes", table["transfer_syntaxes"], transfer=True))
    role, extended = table.get("role"), table.get("extended")
    if role is not None and role not in list(Role.__members__):
        (place / "role").refuse(role, f"one of {', '.join(Role.__members__)}", Role.__members__)
    if extended is not None and not (isinstance(extended, str) and _EXTENDED.fullmatch(extended)):
        (place / "extended").refuse(extended, f"1 to {MAX_EXTENDED} bytes in hexadecimal")
    if extended is not None and ANY_CLASS in classes:
        (place / "extended").fail(f'application information belongs to one SOP class, not to "{ANY_CLASS}"')
    return [
        SupportedContext(uid, syntaxes, role and Role[role], None if extended is None else bytes.fromhex(extended))
        for uid in classes
    ]


def _read_uids(place: Place, value: object, *, transfer: bool) -> list[str]:
    if not isinstance(value, list) or not value:
        place.refuse(value, "an array of names or UIDs, one at least,")
    return [_read_uid(place.item(number), text, transfer=transfer) for number, text in enumerate(value, 1)]


def _read_uid(place: Place, value: object, *, transfer: bool) -> str:
    if value == ANY_CLASS and not transfer:
        return ANY_CLASS
    uid = uids.find_syntax(value, transfer=transfer) if isinstance(value, str) else None
    if uid is None:
        allowed = "name or UID of a transfer syntax" if transfer else "name or UID of an abstract syntax"
        place.refuse(value, allowed, uids.syntax_names(transfer=transfer))
    return uid


def tables(contexts: Iterable[SupportedContext]) -> list[dict[str, Any]]:
    """`contexts` as tables that `read` makes the same of; neighbours that differ in their class only share one."""
    written = []
    for (syntaxes, role, extended), group in groupby(contexts, _rest):
        names = [_name(context.abstract_syntax, transfer=False) for context in group]
        table: dict[str, Any] = {"abstract_syntax": names[0]} if len(names) == 1 else {"abstract_syntaxes": names}
        if syntaxes is not None:
            table["transfer_syntaxes"] = [_name(uid, transfer=True) for uid in syntaxes]
        if role is not None:
            table["role"] = role.name
        if extended is not None:
            table["extended"] = extended.hex()
        written.append(table)
    return written


def _rest(context: SupportedContext) -> tuple[tuple[str, ...] | None, Role | None, bytes | None]:
    return context.transfer_syntaxes, context.role, context.extended


def _name(uid: str, *, transfer: bool) -> str:
    return (uids.name_of(uid) if (uid in uids.transfer_syntaxes()) == transfer else None) or uid
