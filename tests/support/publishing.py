"""Contents to publish, and a record of the system calls that publishing makes."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core.api.errors import NameTakenError, StatusError
from dcmrecv_core.api.verdicts import OnExists
from dcmrecv_core.storage import temporary
from dcmrecv_core.storage.content import FileContent
from dcmrecv_core.storage.publish import Publisher
from dcmrecv_core.storage.temporary import Capabilities, Temporary

Mount = Callable[..., Path]
HIDDEN = Capabilities(unnamed=False, noclobber=True)


def content(data: bytes = b"new") -> FileContent:
    return FileContent(b"prefix ", (data,))


def stored(data: bytes = b"new") -> bytes:
    """The bytes of a file with `content(data)`."""
    return b"prefix " + data


def publisher(
    root: Path, *, fsync: bool = True, strict_fsync: bool = True, capabilities: Capabilities | None = None
) -> Publisher:
    """`strict_fsync`: the same flushes on every file system."""
    return Publisher(str(root), fsync=fsync, strict_fsync=strict_fsync, capabilities=capabilities or Capabilities())


def names(root: Path) -> list[str]:
    """All files below `root`, relative to it."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


class Calls:
    """Records calls of `os` functions and makes some of them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.made: list[str] = []

    def record(self, *functions: str) -> None:
        for name in functions:
            self._replace(name, lambda *args, **kwargs: None)

    def fail(self, function: str, code: int, when: Callable[..., bool] = lambda *args, **kwargs: True) -> None:
        """Make `os.function` fail with the errno `code` if `when` is true for its arguments."""

        def check(*args: Any, **kwargs: Any) -> None:
            if when(*args, **kwargs):
                raise OSError(code, os.strerror(code))

        self._replace(function, check)

    def _replace(self, name: str, before: Callable[..., None]) -> None:
        original = getattr(os, name)

        def replacement(*args: Any, **kwargs: Any) -> Any:
            self.made.append(f"{name} {'directory' if name == 'fsync' and is_directory(args[0]) else ''}".strip())
            before(*args, **kwargs)
            return original(*args, **kwargs)

        self._monkeypatch.setattr(os, name, replacement)


def is_directory(fd: int) -> bool:
    return os.path.isdir(f"/proc/self/fd/{fd}")


def is_file(fd: int) -> bool:
    return not is_directory(fd)


def without_unnamed_files(calls: Calls) -> None:
    calls.fail("open", errno.EOPNOTSUPP, lambda path, flags, *rest, **more: flags & os.O_TMPFILE == os.O_TMPFILE)


def without_links(calls: Calls) -> None:
    calls.fail("link", errno.EPERM)


def without_renameat2(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(temporary, "rename_noreplace", refuse)


def spooled(place: Publisher, data: bytes) -> tuple[FileContent, Temporary]:
    """A content that is a file already, as that of a large data set; the caller closes the file."""
    file = place.open_spool()
    os.write(file.fd, stored(data))
    return FileContent(b"prefix ", (data,), file), file


def store_often(root: str, letter: bytes, on_exists: OnExists, start: Barrier, failures: Queue[str]) -> None:
    """Store fifty files under names that other processes use, too. Spawned processes import it from this module."""
    place = Publisher(root, fsync=False, capabilities=Capabilities())
    start.wait(20)
    for number in range(50):
        try:
            place.publish((), f"a{number}", on_exists, FileContent(b"", (letter * 5000,)))
        except NameTakenError:
            continue
        except StatusError as error:
            failures.put(error.comment)
