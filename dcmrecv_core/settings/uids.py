"""The UIDs that DCMTK knows: their names in configuration files and dumps, and its file-name prefixes.

The table uids.tsv has a row for each name that the original accepts: name, UID, kind, prefix. It is that of
DCMTK 3.7.0 with the names only 3.6.7 accepts, and one correction towards 3.6.7: class ...1.1.200.3 (protocol
approval) keeps its prefix "PA". The seventeen storage classes that 3.6.7 does not know (and calls "UNKNOWN") have the
prefixes of 3.7.0: a useful name is worth more than agreement about classes which the older program cannot negotiate
by name; so "PA" also stands for photoacoustic images.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from dcmrecv_core.api.hints import did_you_mean

MAX_UID = 64
_UID = re.compile(rf"[0-9.]{{1,{MAX_UID}}}")


class _Table(NamedTuple):
    uid_by_name: dict[str, str]
    name_by_uid: dict[str, str]
    prefix_by_uid: dict[str, str]
    transfer_syntaxes: tuple[str, ...]


@cache
def _table() -> _Table:
    uid_by_name: dict[str, str] = {}
    name_by_uid: dict[str, str] = {}
    prefix_by_uid: dict[str, str] = {}
    transfer_syntaxes: dict[str, None] = {}
    rows = Path(__file__).with_name("uids.tsv").read_text("ascii").splitlines()
    for row in rows[1:]:
        name, uid, kind, prefix = row.split("\t")
        uid_by_name[name] = uid
        name_by_uid.setdefault(uid, name)
        if prefix:
            prefix_by_uid[uid] = prefix
        if kind == "transfer-syntax":
            transfer_syntaxes[uid] = None
    return _Table(uid_by_name, name_by_uid, prefix_by_uid, tuple(transfer_syntaxes))


def uid_of(name: str) -> str:
    """The UID with this name (case-sensitive), as association profiles have it: "CTImageStorage".

    Raises KeyError for a name that is not known, with a similar one.
    """
    uid = find_uid(name)
    if uid is None:
        hint = did_you_mean(name, names(), similarity=0.75)
        raise KeyError(f"there is no UID called {name!r}" + ("; " + hint) * bool(hint))
    return uid


def find_uid(name: str) -> str | None:
    """As `uid_of`, None for a name that is not known."""
    return _table().uid_by_name.get(name)


def name_of(uid: str) -> str | None:
    """DCMTK's name of the UID, or None; of several names the first in the table, never an endian alias."""
    return _table().name_by_uid.get(uid)


def names() -> tuple[str, ...]:
    """Every name that `uid_of` knows."""
    return tuple(_table().uid_by_name)


def find_syntax(text: str, *, transfer: bool) -> str | None:
    """The UID of a transfer syntax, or else of an abstract one, that `text` names or is; None if it is neither."""
    uid = find_uid(text)
    if uid is not None and (uid in transfer_syntaxes()) == transfer:
        return uid
    return text if _UID.fullmatch(text) else None


def syntax_names(*, transfer: bool) -> tuple[str, ...]:
    """The names that `find_syntax` knows."""
    return tuple(name for name in names() if (find_uid(name) in transfer_syntaxes()) == transfer)


@lru_cache(maxsize=64)  # asked for each instance
def modality_prefix(sop_class_uid: str) -> str | None:
    """The file-name prefix of a storage SOP class ("CT", "MR" ...), or None for any other UID."""
    return _table().prefix_by_uid.get(sop_class_uid)


def storage_sop_classes() -> tuple[str, ...]:
    """All standard storage SOP classes, retired and draft ones included, without the DICOMDIR's (it has no prefix and
    is not sent over networks, PS3.4 annex B.5)."""
    return tuple(_table().prefix_by_uid)


def transfer_syntaxes() -> tuple[str, ...]:
    """All known transfer syntaxes, each once."""
    return _table().transfer_syntaxes


def is_other_service(uid: str) -> bool:
    """Whether the UID is known to be something else than a storage SOP class."""
    table = _table()
    return uid in table.name_by_uid and uid not in table.prefix_by_uid
