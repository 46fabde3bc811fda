"""Requests on disk, from before their N-ACTION is answered until the requestor has the report: a file each.

The name of a file is made of hashes of the title, the Transaction UID, and all of the request: so one that is sent
again is the same file, and another one with the same Transaction UID is seen.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
from collections import defaultdict
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from dcmrecv_commitment.requests import Asked, Reference
from dcmrecv_core import StatusError

log = logging.getLogger("dcmrecv.commitment")

SUFFIX = ".json"
DAMAGED = ".damaged"
MOST_OPEN = 1000
"""Requests of one title: more are refused until some are answered."""

_PROCESSING_FAILURE, _RESOURCE_LIMITATION = 0x0110, 0x0213
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Kept(NamedTuple):
    """A request that was read, and which `file` it was: its inode, and when that was put there."""

    name: str
    file: tuple[int, int]
    asked: Asked


class Folder:
    """`directory` is made when it is needed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def keep(self, asked: Asked) -> str:
        """Write a request: it is durable afterwards. Returns its name. Raises StatusError."""
        text = json.dumps(asdict(asked), indent=1)
        name = f"{_hash(asked.title)}-{_hash(asked.transaction_uid)}-{_hash(text)}{SUFFIX}"
        try:
            self._directory.mkdir(0o700, parents=True, exist_ok=True)
            known = [each for each in self._names() if each.startswith(key_of(asked.title))]
            if name not in known and len(known) >= MOST_OPEN:
                raise StatusError(_RESOURCE_LIMITATION, f"{MOST_OPEN} requests have no answer yet")
            self._write(name, text)
            return name
        except OSError as error:
            log.error("a request for storage commitment cannot be kept in %s: %s", self._directory, error.strerror)
            status = _RESOURCE_LIMITATION if error.errno in _NO_ROOM else _PROCESSING_FAILURE
            raise StatusError(status, f"The request cannot be kept: {error.strerror}") from error

    def by_title(self) -> dict[str, list[str]]:
        """The names of all files, the oldest first, by the key of their title. Raises OSError."""
        names: dict[str, list[str]] = defaultdict(list)
        for name in sorted(self._names(), key=self._age):
            names[name.partition("-")[0]].append(name)
        return names

    def written(self, name: str) -> float:
        """When it was kept first, in seconds since 1970; 0 if it is gone."""
        return self._age(name) / 1e9

    def read(self, name: str) -> Kept | None:
        """A request; None if it is gone, and if it is damaged: then its file is put aside. Raises OSError."""
        path = self._directory / name
        try:
            file = _identity(path)
            read = json.loads(path.read_text("utf-8", "surrogateescape"))
            references = tuple(Reference(*each) for each in read["references"])
            return Kept(name, file, Asked(read["title"], read["called"], read["transaction_uid"], references))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, LookupError) as error:
            log.error("%s is no request for storage commitment (%s), put aside as %s", path, error, name + DAMAGED)
            path.rename(path.with_name(name + DAMAGED))
            return None

    def remove(self, kept: Kept) -> None:
        """It has its report; unless it was sent again since it was read. Raises OSError."""
        path = self._directory / kept.name
        with suppress(FileNotFoundError):  # an administrator has removed it
            if _identity(path) == kept.file:
                path.unlink()
                self._flush()

    def _names(self) -> set[str]:
        try:
            return {name for name in os.listdir(self._directory) if name.endswith(SUFFIX)}
        except FileNotFoundError:
            return set()

    def _age(self, name: str) -> int:
        try:
            return (self._directory / name).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _write(self, name: str, text: str) -> None:
        temporary = self._directory / f"{name}.{os.getpid()}"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            file.flush()
            if first_written := self._age(name):  # sent again, it keeps its place
                os.utime(fd, ns=(first_written, first_written))
            os.fsync(fd)
        temporary.rename(self._directory / name)
        self._flush()

    def _flush(self) -> None:
        for path in (self._directory, self._directory.parent):
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def key_of(title: str) -> str:
    """What the names of the files of this title begin with."""
    return _hash(title)


def is_same_transaction(name: str, other: str) -> bool:
    """Whether these are two requests with one Transaction UID."""
    return name != other and name.rpartition("-")[0] == other.rpartition("-")[0]


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ino, status.st_ctime_ns


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
