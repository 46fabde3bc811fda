"""Other names for an instance whose chosen name is taken.

    CT.dcm   CT~2.dcm, CT~3.dcm ...    the next content of that name (`rename`)
    CT.dcm   CT~0a1b2c3d.dcm           another instance of that name, by a hash of its SOP Instance UID; 32 digits
                                       of the command's if the data set says another one

Both stand before the extension: that of `-fe` if the name ends with it, else one like `.dcm` that begins with a letter,
so the last number of a UID is not taken for one. A component has at most 255 bytes; a name that has to be cut gets a
hash, as in `escape`. It does no harm if a chosen name looks the same: an existing file is always looked at first.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator

from dcmrecv_core.api.names import MAX_COMPONENT, escape

MAX_ATTEMPTS = 1024
"""How many names are tried for one instance."""

_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,9}\Z")
_DIGITS = 8

CERTAIN = 32
"""Digits of a mark that no other UID has: where the files themselves do not tell instances apart."""


def numbered(name: str, number: int, extension: str = "") -> str:
    """`name` with `~number` before its extension."""
    stem, extension = _split(name, extension)
    return escape(f"{stem}~{number}", extension)


def marked(name: str, sop_instance_uid: bytes, extension: str = "", *, digits: int = _DIGITS) -> Iterator[str]:
    """`name` with `~` and 8 hexadecimal `digits` of the UID's SHA-256 before its extension: the first ones, then the
    next. So an instance that is sent again finds the file it has got, and an instance whose digits are another's too
    (with 100 000 instances of one name that is to be expected) still has a name."""
    stem, extension = _split(name, extension)
    digest = hashlib.sha256(sop_instance_uid).hexdigest()
    for start in range(0, len(digest), digits):
        yield with_mark(stem, digest[start : start + digits], extension)


def with_mark(stem: str, digits: str, extension: str) -> str:
    """`stem~digits` and the extension. `escape` is not used, because it would take this mark for one of its own."""
    mark = f"~{digits}{extension}"
    room = MAX_COMPONENT - len(os.fsencode(mark))
    if len(os.fsencode(stem)) > room:
        # two long names with the same beginning must stay different
        own = f"~{hashlib.sha256(os.fsencode(stem)).hexdigest()[:_DIGITS]}"
        while len(os.fsencode(stem)) > room - len(own):
            stem = stem[:-1]
        stem += own
    return stem + mark


def _split(name: str, extension: str) -> tuple[str, str]:
    if not extension or not name.endswith(extension) or name == extension:
        found = _EXTENSION.search(name)
        extension = found.group() if found and found.start() else ""
    return name.removesuffix(extension), extension
