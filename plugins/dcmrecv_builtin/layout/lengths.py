"""`--layout-limit`: paths of a layout that are longer than a limit get shorter names."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence

from dcmrecv_core import escape, escape_directory

log = logging.getLogger("dcmrecv.plugins")

LEAST = 24
"""Bytes that are kept free for each component that follows: seven characters, `~` and the digits."""

_DIGITS = 16
_SHORTENED = re.compile(rf"~[0-9a-f]{{{_DIGITS}}}\Z")


class PathLimit:
    """At most `length` bytes for the path below the output directory, of which `appended` are left to the extension of
    `-fe`.

    A name that is too long ends in `~` and digits of a hash of the whole name, and so does one that only looks so: two
    names do not become one. A directory depends on what stands before it and not on what comes below: all that belongs
    into one directory stays together.
    """

    def __init__(self, length: int, appended: int = 0) -> None:
        self.length = length
        self._appended = appended
        self._warned = False
        self.shortened = False
        """Whether the last path was."""

    def check(self, components: int, extension: str) -> None:
        """Raises ValueError if so many components have no room; `extension` is that of the pattern."""
        least = components * (LEAST + 1) - 1 + len(extension) + self._appended
        if self.length < least:
            raise ValueError(f"{self.length} bytes are not enough, this layout needs {least}")

    def path(self, directories: Sequence[str], name: str, extension: str) -> tuple[str, str]:
        """Directory and file name, escaped and shortened. `name` is without `extension`."""
        whole = [escape(directory, windows=True) for directory in directories]
        room = self.length - self._appended
        shorter = []
        for number, directory in enumerate(whole):
            following = len(whole) - number
            shorter.append(_fitting(directory, room - following * (LEAST + 1) - len(extension)))
            room -= len(shorter[-1].encode()) + 1
        whole_name = escape(name, extension, windows=True)
        short_name = _fitting(whole_name, room, extension)
        self.shortened = (shorter, short_name) != (whole, whole_name)
        if self.shortened and not self._warned:
            self._warn("/".join((*whole, whole_name)))
        return escape_directory(shorter, windows=True), short_name

    def _warn(self, path: str) -> None:
        self._warned = True
        log.warning(
            "--layout-limit: names of a path of %d bytes are shortened, so that none beside it has more than %d "
            "(logged once only)",
            len(path.encode()) + self._appended,
            self.length,
        )


def _fitting(name: str, room: int, extension: str = "") -> str:
    """An escaped component in so many bytes."""
    stem = name.removesuffix(extension)
    if len(name.encode()) <= room and not _SHORTENED.search(stem):
        return name
    digest = hashlib.sha256(stem.encode()).hexdigest()[:_DIGITS]
    kept = stem.encode()[: room - len(extension) - _DIGITS - 1].decode(errors="ignore")
    return f"{kept}~{digest}{extension}"
