"""The directories below the output directory: contained, created on demand, kept open.

Every component is opened relative to its parent's descriptor without following links, so nothing that a peer or
another user plants can lead outside; a link that root or our own user made is an administrator's and is followed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from pathlib import PurePath

from dcmrecv_core.errors import HookFailure, StorageError
from dcmrecv_core.names import escape

_OPEN_DIRECTORIES = 32
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def storage_error(error: OSError, what: str) -> StorageError:
    """The A700 that an `OSError` becomes; `what` says what was tried, in a few words."""
    failure = StorageError(f"{what}: {error.strerror or error}")
    failure.__cause__ = error
    return failure


def contained(subdir: str | PurePath, filename: str, extension: str = "") -> tuple[tuple[str, ...], str]:
    """The directory components and the file name that plugins chose, checked and escaped.

    Raises HookFailure (0110) for an absolute path, "..", NUL, or a separator in the file name.
    """
    directory = str(subdir)
    if directory.startswith("/"):
        raise HookFailure("Chosen directory is absolute")
    if "\0" in directory or "\0" in filename:
        raise HookFailure("Chosen path contains NUL")
    parts = [part for part in directory.split("/") if part not in ("", ".")] if directory else []
    if ".." in parts or filename in ("", ".", ".."):
        raise HookFailure("Chosen path leaves the output directory")
    if "/" in filename:
        raise HookFailure("Chosen file name contains a separator")
    return tuple(escape(part) for part in parts), escape(filename + extension)


class Directory:
    """An open directory below the output directory.

    `flushed` is true once its ancestors are durable; `foreign` if it lies on another file system than the output
    directory, so that nothing can be linked or renamed from there to here.
    """

    __slots__ = ("fd", "flushed", "foreign", "identity", "parent", "path")

    def __init__(self, path: str, fd: int, parent: Directory | None) -> None:
        status = os.fstat(fd)
        self.path = path
        self.fd = fd
        self.parent = parent
        self.identity = (status.st_dev, status.st_ino)
        self.flushed = False
        self.foreign = parent is not None and (parent.foreign or parent.identity[0] != self.identity[0])

    def is_current(self) -> bool:
        """Whether the path still leads to this directory (it may have been moved or removed meanwhile)."""
        try:
            status = os.stat(self.path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self.identity

    def close(self) -> None:
        os.close(self.fd)


class Directories:
    """Opens and creates directories below `root`; keeps the last ones used open."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._open: OrderedDict[tuple[str, ...], Directory] = OrderedDict()

    @property
    def root(self) -> str:
        """The output directory as the user named it, for messages and results."""
        return self._root

    def get(self, parts: tuple[str, ...]) -> Directory:
        """The directory at `parts`, created with all its ancestors if missing (mode 0777 & ~umask).

        Raises StorageError (A700) if it cannot be had, HookFailure (0110) if a foreign link is in the way.
        """
        directory = self._open.get(parts)
        if directory is not None:
            if directory.is_current():
                self._open.move_to_end(parts)
                return directory
            self.forget()
        try:
            return self._enter(parts)
        except OSError as error:
            raise storage_error(error, "Cannot open directory") from error

    def forget(self) -> None:
        """Close all: something below the output directory was moved or removed."""
        while self._open:
            self._open.popitem()[1].close()

    def make_durable(self, directory: Directory) -> None:
        """Flush `directory`, and before its first use by this process every ancestor up to the output directory.

        Raises OSError; a flush that failed says nothing about the next one, so nothing is remembered then.
        """
        os.fsync(directory.fd)
        if directory.flushed:
            return
        ancestor = directory.parent
        while ancestor is not None:
            os.fsync(ancestor.fd)
            ancestor = ancestor.parent
        directory.flushed = True

    def _enter(self, parts: tuple[str, ...]) -> Directory:
        if not parts:
            os.makedirs(self._root or ".", exist_ok=True)
            return self._keep(parts, Directory(self._root or ".", os.open(self._root or ".", _FLAGS), None))
        parent = self.get(parts[:-1])
        fd = _open_below(parent.fd, parts[-1])
        return self._keep(parts, Directory(f"{parent.path}/{parts[-1]}", fd, parent))

    def _keep(self, parts: tuple[str, ...], directory: Directory) -> Directory:
        self._open[parts] = directory
        if len(self._open) > _OPEN_DIRECTORIES:
            self._evict(directory)
        return directory

    def _evict(self, keep: Directory) -> None:
        ancestors = set()
        step: Directory | None = keep
        while step is not None:
            ancestors.add(step.fd)
            step = step.parent
        for parts, directory in self._open.items():
            if directory.fd not in ancestors and all(d.parent is not directory for d in self._open.values()):
                del self._open[parts]
                directory.close()
                return


def _open_below(parent: int, name: str) -> int:
    try:
        return os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=parent)
    except FileNotFoundError:
        try:
            os.mkdir(name, 0o777, dir_fd=parent)
        except FileExistsError:
            pass  # another worker was first
        return os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=parent)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            raise
        if status.st_uid not in (0, os.geteuid()):
            raise HookFailure("A foreign link is in the way") from error
        return os.open(name, _FLAGS, dir_fd=parent)
