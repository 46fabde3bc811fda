"""File names from text that a peer sent.

The one rule: a component that is fit stays untouched; in any other, unfit characters become `_` and `~` with
8 hex digits of a hash of the original are appended. So two different texts do not become one name, and what the
network sends never adds a directory level.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

MAX_COMPONENT = 255
"""Bytes a file name may have on every file system that matters (NAME_MAX)."""

RESERVED = ".dcmrecv"
"""Names below the output directory that start so belong to the receiver: state directory and temporary files."""

_SUFFIX_LENGTH = 9
_LONGEST_EXTENSION = MAX_COMPONENT - _SUFFIX_LENGTH - 4  # room for any one character of the name

# nearly all names, which need no further look
_FIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 \-.:@_]{0,200}\Z")
# "needs a change": something unfit, our own suffix (else an honest name could equal an escaped one), our own names
_PORTABLE = re.compile(r"[^A-Za-z0-9 \-.:@_]")
# the last range stands for bytes that a character set does not have
_UNFIT = re.compile(r'[\x00-\x1f\x7f-\x9f/\\"*<>?|\ud800-\udfff\uef00-\uefff]')
_WINDOWS = re.compile(r'[\x00-\x1f\x7f-\x9f/\\"*<>?|:\ud800-\udfff\uef00-\uefff]')
# names of devices on Windows, with any extension
_DEVICE = re.compile(
    r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9\u00b9\u00b2\u00b3]) *(?:\.|\Z)", re.IGNORECASE
)
_LOOKS_ESCAPED = re.compile(r"~[0-9a-f]{8}\Z")


class _Escaped(str):
    """A result of `escape`, which escaping again leaves alone: a plugin may escape what the core will escape too."""

    # `str` of it is a plain str: pathlib takes nothing else
    __slots__ = ()


class _EscapedDirectory(str):
    """A result of `escape_directory`: each of its components is one of `escape`."""

    __slots__ = ()


_ESCAPED = (_Escaped, _EscapedDirectory)


def escape(text: str, extension: str = "", *, portable: bool = False, windows: bool = False) -> str:
    """`text` and `extension` as one path component: unfit characters replaced, cut at 255 bytes, injective in `text`.

    Unfit are control characters, both slashes, `"*<>?|`, what UTF-8 cannot express, and U+EF00 to U+EFFF (see
    `decode_text`); with `windows` also what Windows does not allow: `:`, dots and blanks at the end, names of devices
    (`CON`, `nul.txt`, `COM1` ...); with `portable` everything but ASCII letters, digits, blank and `-.:@_` (the set
    that DCMTK keeps). `.`, `..` and the empty text are unfit as a whole. The hash stands before the extension, which
    is always limited to DCMTK's set.
    Raises ValueError if the extension leaves no room for a name.
    """
    if not extension and not windows and _FIT.match(text):
        return text
    unfit = _PORTABLE if portable else _WINDOWS if windows else _UNFIT
    if extension:
        extension = _PORTABLE.sub("_", extension)
        if len(extension) > _LONGEST_EXTENSION:
            raise ValueError(f"an extension has {_LONGEST_EXTENSION} characters at most, not {len(extension)}")
    room = MAX_COMPONENT - len(extension)  # what is left of it is ASCII
    if isinstance(text, _Escaped):
        if len(text.encode()) <= room:
            return _Escaped(text + extension)
    elif not unfit.search(text) and _is_plain(text, room) and not (windows and _is_unfit_for_windows(text)):
        return text + extension
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    cleaned = "_" if text in ("", ".", "..") else unfit.sub("_", text)
    if windows:
        fit = cleaned.rstrip(". ")
        cleaned = fit + "_" * (len(cleaned) - len(fit))
    if cleaned.startswith(RESERVED) or (windows and _DEVICE.match(cleaned)):
        cleaned = "_" + cleaned[1:]
    kept = cleaned.encode()[: room - _SUFFIX_LENGTH].decode(errors="ignore")
    return _Escaped(f"{kept}~{digest}{extension}")


def escape_directory(components: Iterable[str], *, windows: bool = False) -> str:
    """A relative directory, for `choose_subdir`, of components that are escaped each; none at all make ""."""
    return _EscapedDirectory("/".join([escape(component, windows=windows) for component in components]))


def split_directory(directory: str) -> tuple[str, ...]:
    """The components of a relative directory; raises ValueError if it is absolute, leads upwards or contains NUL."""
    if not directory:
        return ()
    if directory.startswith("/"):
        raise ValueError("Chosen directory is absolute")
    if "\0" in directory:
        raise ValueError("Chosen directory contains NUL")
    parts = tuple(part for part in directory.split("/") if part not in ("", "."))
    if ".." in parts:
        raise ValueError("Chosen directory leaves the output directory")
    return tuple(map(_Escaped, parts)) if isinstance(directory, _ESCAPED) else parts


def check_filename(name: str) -> None:
    """Raises ValueError if `name` cannot be one component: empty, ".", "..", with a separator or NUL."""
    if name in ("", ".", ".."):
        raise ValueError("Chosen file name is empty, '.' or '..'")
    if "/" in name:
        raise ValueError("Chosen file name contains a separator")
    if "\0" in name:
        raise ValueError("Chosen file name contains NUL")


def _is_plain(text: str, room: int) -> bool:
    return (
        text not in ("", ".", "..")
        and not _LOOKS_ESCAPED.search(text)
        and not text.startswith(RESERVED)
        and (len(text) <= room // 4 or len(text.encode()) <= room)
    )


def _is_unfit_for_windows(text: str) -> bool:
    return text[-1] in ". " or _DEVICE.match(text) is not None
