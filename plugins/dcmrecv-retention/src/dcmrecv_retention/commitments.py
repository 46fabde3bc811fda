"""Instances that a peer has asked dcmrecv-commitment about (PS3.4 annex J), and has no answer about yet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from dcmrecv_index.database import Database

_DIRECTORY = "commitment"
"""In the state directory: dcmrecv-commitment keeps a file for each request there, until it is answered."""

_UNDER_ANOTHER_UID = "SELECT sop_instance_uid FROM instances WHERE original_uid_hash = :hash"


def requested_instances(
    state_directory: Path, database: Database, hash_of: Callable[[str], str | None]
) -> frozenset[str]:
    """SOP Instance UIDs in the index. `hash_of` is `PluginSettings.original_uid_hash`: peers ask by the UID that they
    have sent. Raises DatabaseError, OSError."""
    asked = set(_asked(state_directory / _DIRECTORY))
    stored = set(asked)
    for uid in asked:
        if (hashed := hash_of(uid)) is not None:
            stored.update(found for (found,) in database.execute(_UNDER_ANOTHER_UID, {"hash": hashed}))
    return frozenset(stored)


def _asked(directory: Path) -> Iterator[str]:
    for path in directory.glob("*.json"):
        try:
            references = json.loads(path.read_text("utf-8", "surrogateescape"))["references"]
            yield from [str(uid) for _, uid in references]
        except FileNotFoundError:  # it is answered
            continue
        except (ValueError, TypeError, KeyError):  # damaged: dcmrecv-commitment cannot answer it either
            continue
