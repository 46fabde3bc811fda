"""Copies files into a folder, each whole or not at all, under the same relative path."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from dcmrecv_core import StoredEvent, Undeliverable, escape
from dcmrecv_forward.errors import NotSent, Unreachable
from dcmrecv_forward.stored import opened

_AT_ONCE = 1 << 20
_NOT_HERE = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)
"""What file systems answer that cannot copy or link by themselves."""
_OF_THE_FOLDER = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.ESTALE,
    errno.ENOTCONN,
    errno.ETIMEDOUT,
    errno.EHOSTDOWN,
)
"""What no other file would escape; all else is taken for the fault of one path or one source."""


class FolderSender:
    """Copies below `folder`; `output_directory` is what locations are relative to."""

    def __init__(self, folder: Path, output_directory: str) -> None:
        self._folder = folder
        self._output_directory = output_directory

    def send(self, event: StoredEvent) -> str:
        """Return "" when the copy is on the disk. Raises Undeliverable if another content has its name, Unreachable if
        the folder cannot be used, and what `event.open` raises."""
        with opened(event) as file, _trouble(self._folder):
            if not self._folder.is_dir():
                raise FileNotFoundError(errno.ENOENT, "no such directory")
            self._put(file, self._folder / self._relative(event), event.id)
        return ""

    def close(self) -> None:
        """Nothing is kept open."""

    def _relative(self, event: StoredEvent) -> Path:
        """The path below the output directory; for what is stored elsewhere, and has none, one of UIDs."""
        path = Path(os.path.relpath(event.location, self._output_directory))
        if "://" in event.location or path.parts[0] == "..":
            study, series = (escape(uid or "none") for uid in (event.study_instance_uid, event.series_instance_uid))
            return Path(f"{study}/{series}/{escape(event.sop_instance_uid, '.dcm')}")
        return path

    def _put(self, file: BinaryIO, target: Path, event_id: str) -> None:
        if os.path.lexists(target):
            _expect_equal(file, target)
            return
        made = _make_directories(target.parent, self._folder)
        # the same name if the event comes again after the process was killed, so nothing is left over
        part = target.with_name(_part_name(event_id))
        finished = False
        try:
            with part.open("wb") as copy:
                _copy(file, copy)
                copy.flush()
                os.fsync(copy.fileno())
            _publish(part, target)
            finished = True
        except FileExistsError:
            _expect_equal(file, target)
        finally:
            if not finished:
                part.unlink(missing_ok=True)
        for directory in (target.parent, *made):
            _sync(directory)


def _part_name(event_id: str) -> str:
    return f".{hashlib.sha256(event_id.encode()).hexdigest()[:16]}.part"


def _publish(part: Path, target: Path) -> None:
    """Give the copy its name. Raises FileExistsError rather than to replace anything."""
    try:
        os.link(part, target)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        if os.path.lexists(target):  # a file system without links (SMB, FAT): looking first has to do
            raise FileExistsError(errno.EEXIST, "exists", str(target)) from error
        part.rename(target)
    else:
        part.unlink()


def _copy(source: BinaryIO, target: BinaryIO) -> None:
    """All of it, by the file system itself (as a reflink, where it can), else by the kernel or through memory."""
    source.seek(0)
    rest = os.fstat(source.fileno()).st_size
    try:
        offset = 0
        while rest and (copied := os.copy_file_range(source.fileno(), target.fileno(), rest, offset)):
            offset += copied
            rest -= copied
        if not rest:
            return
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
    target.seek(0)
    target.truncate()
    shutil.copyfileobj(source, target, _AT_ONCE)


def _expect_equal(file: BinaryIO, target: Path) -> None:
    file.seek(0)
    with suppress(IsADirectoryError), target.open("rb") as other:
        while (block := file.read(_AT_ONCE)) == other.read(_AT_ONCE):
            if not block:
                return
    raise Undeliverable(f"{target} exists, with another content")


def _make_directories(directory: Path, root: Path) -> list[Path]:
    """Make it, and return those in which something was made."""
    missing = []
    while directory != root and not directory.is_dir():
        missing.append(directory)
        directory = directory.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
    return [each.parent for each in missing]


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _trouble(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        text = f"{error.filename or folder}: {error.strerror or error}"
        if error.errno in _OF_THE_FOLDER or not _is_usable(folder):
            raise Unreachable(text) from error
        raise NotSent(text) from error


def _is_usable(folder: Path) -> bool:
    try:
        return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        return False
