"""The list of pseudonyms: who they are, for those who must go back. One JSON object a line, only ever appended.

Several workers write to it, each under a lock and only what is not there; a line is on disk before the instance is
acknowledged.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from dcmrecv_deidentify.pseudonyms.key import check_private, refuse_below, sync_directory

_WINDOW = 1 << 20


class Pair(NamedTuple):
    """`what` is "patient", "accession" or "study"."""

    what: str
    original: bytes
    pseudonym: bytes

    def line(self) -> bytes:
        """As it stands in the list; bytes that are no UTF-8 become lone surrogates."""
        original = self.original.decode("utf-8", "surrogateescape")
        return json.dumps({"what": self.what, "original": original, "new": self.pseudonym.decode()}).encode() + b"\n"


class PairList:
    """The list in a file. Raises ValueError for a place or a file that is not safe, OSError if it cannot be made."""

    def __init__(self, path: Path, output_directory: str) -> None:
        refuse_below(path, output_directory, "--deidentify-list")
        self._path = path
        self._fd: int | None = None
        self._known: set[bytes] = set()
        self._read_to = 0
        self._rest = b""
        fd = self._open()
        try:
            sync_directory(path.parent)
        finally:
            os.close(fd)

    def add(self, pairs: Iterable[Pair]) -> None:
        """Append those that are not there yet; they are on disk when this returns. Raises OSError."""
        lines = {_digest(line): line for line in (pair.line() for pair in pairs)}
        if not lines.keys() - self._known:
            return
        if self._fd is None:
            self._fd = self._open()
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            self._catch_up(self._fd)
            new = b"".join(line for digest, line in lines.items() if digest not in self._known)
            if new:
                self._append(self._fd, new)
            self._known.update(lines)
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _open(self) -> int:
        fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        try:
            check_private(os.fstat(fd), self._path, "--deidentify-list")
        except ValueError:
            os.close(fd)
            raise
        return fd

    def _catch_up(self, fd: int) -> None:
        """Learn what others have appended."""
        while block := os.pread(fd, _WINDOW, self._read_to):
            self._read_to += len(block)
            *whole, self._rest = (self._rest + block).split(b"\n")
            self._known.update(_digest(line + b"\n") for line in whole)

    def _append(self, fd: int, new: bytes) -> None:
        if self._rest:  # a line that a power cut has left without its end
            new = b"\n" + new
        before = os.fstat(fd).st_size
        try:
            written = 0
            while written < len(new):
                written += os.write(fd, new[written:])
            os.fsync(fd)
        except OSError:
            os.ftruncate(fd, before)
            raise
        self._rest = b""
        self._read_to = before + len(new)


def _digest(line: bytes) -> bytes:
    """Instead of the line, of which a site may have a million."""
    return blake2b(line, digest_size=12).digest()
