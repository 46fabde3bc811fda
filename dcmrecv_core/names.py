"""File names from text that came off the wire.

One rule, in one place: a component that is fit stays untouched; in any other, unfit characters become `_` and `~` with
8 hex digits of a hash of the original are appended. So two different texts do not become one name, and what the
network sends never adds a directory level.
"""

from __future__ import annotations

import hashlib
import re

MAX_COMPONENT = 255
"""Bytes a file name may have on every file system that matters (NAME_MAX)."""

RESERVED = ".dcmrecv"
"""Names below the output directory that start so are the receiver's own: state directory and temporary files."""

_SUFFIX_LENGTH = 9

# "needs a change": something unfit, our own suffix (else an honest name could equal an escaped one), our own names
_PORTABLE = re.compile(r"[^A-Za-z0-9 \-.:@_]")
_UNFIT = re.compile(r'[\x00-\x1f\x7f-\x9f/\\"*<>?|\ud800-\udfff]')
_LOOKS_ESCAPED = re.compile(r"~[0-9a-f]{8}\Z")


def escape(text: str, *, portable: bool = False) -> str:
    """`text` as one path component: unfit characters replaced, cut at 255 bytes, injective.

    Unfit are control characters, both slashes, `"*<>?|` and what UTF-8 cannot express; with `portable` everything but
    ASCII letters, digits, blank and `-.:@_` (the set that dcmrecv keeps). `.`, `..` and the empty text are unfit as a
    whole.
    """
    unfit = _PORTABLE if portable else _UNFIT
    if not unfit.search(text) and _is_plain(text):
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    cleaned = "_" if text in ("", ".", "..") else unfit.sub("_", text)
    if cleaned.startswith(RESERVED):
        cleaned = "_" + cleaned[1:]
    kept = cleaned.encode()[: MAX_COMPONENT - _SUFFIX_LENGTH].decode(errors="ignore")
    return f"{kept}~{digest}"


def _is_plain(text: str) -> bool:
    return (
        text not in ("", ".", "..")
        and not _LOOKS_ESCAPED.search(text)
        and not text.startswith(RESERVED)
        and (len(text) <= MAX_COMPONENT // 4 or len(text.encode()) <= MAX_COMPONENT)
    )
