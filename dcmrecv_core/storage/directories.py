"""The directories below the output directory: contained, created on demand, kept open.

Every component is opened relative to its parent's descriptor without following links, so no link planted by a peer or
another user can lead outside. A link that root or our own user made is an administrator's and is followed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from contextlib import suppress
from functools import lru_cache
from pathlib import PurePath

from dcmrecv_core.api.errors import HookFailure, OutputDirectoryError, StorageError
from dcmrecv_core.api.names import RESERVED, check_filename, escape, split_directory
from dcmrecv_core.storage.mounts import one_flush_suffices

_OPEN_DIRECTORIES = 32
TEMPORARY_PARTS = (RESERVED, "tmp")
"""The directory of hidden files below the output directory; on another file system, and in a directory that gives its
files another group or ACL, they are beside their target. A plugin may not have seen yet what is in them, so only those
may read them who may also write there, as another receiver."""

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def check_output_directory(start: str, given: str | None, *, in_a_file: bool = False) -> str:
    """The path of the output directory `given`, which is relative to `start`; None is `start` itself.

    Raises OutputDirectoryError with DCMTK's text, and in a second line which path that is and what is wrong with it;
    without it only for a path that the command line has just so, not if it may be `in_a_file`.
    """
    directory = os.path.join(start, given or ".")
    wrong, why = fault_of(directory)
    if not wrong:
        return directory
    text = f"cannot specify output directory: Directory {wrong}"
    if why or in_a_file or not os.path.isabs(given or ""):
        text += f"\n  at {os.path.normpath(directory)}" + f": {why}" * bool(why)
    raise OutputDirectoryError(text)


def fault_of(directory: str) -> tuple[str, str]:
    """What is wrong with an output directory in DCMTK's words, and why if these do not say it; both "" for nothing."""
    try:
        if not stat.S_ISDIR(os.stat(directory).st_mode):
            return "does not exist", "it is a file, not a directory"
        if not os.access(directory, os.R_OK | os.X_OK):
            return "does not exist", f"it is there, but user {os.geteuid()} may not read it"
        if not os.access(directory, os.W_OK):
            if os.statvfs(directory).f_flag & os.ST_RDONLY:
                return "is not writable", "its file system is mounted read-only"
            return "is not writable", f"user {os.geteuid()} may not write in it"
    except FileNotFoundError:
        return "does not exist", ""
    except OSError as error:
        return "does not exist", error.strerror or ""
    return "", ""


def storage_error(error: OSError, what: str) -> StorageError:
    """An `OSError` as status A700; `what` says in a few words what failed."""
    failure = StorageError(f"{what}: {error.strerror or error}")
    failure.__cause__ = error
    return failure


def escaped_path(subdir: str | PurePath, filename: str, extension: str = "") -> tuple[tuple[str, ...], str]:
    """The directory components and the file name that plugins chose, escaped; a `Name` has checked its text before.

    Raises HookFailure (0110) for an absolute directory, "..", or NUL.
    """
    try:
        return _escaped_parts(subdir), escape(filename, extension)
    except ValueError as error:
        raise HookFailure(str(error)) from error


@lru_cache(
    maxsize=64, typed=True
)  # the instances of a series go to one directory; a part that `escape` made has its own type
def _escaped_parts(subdir: str | PurePath) -> tuple[str, ...]:
    directory = str(subdir) if isinstance(subdir, PurePath) else subdir
    return tuple(escape(part) for part in split_directory(directory))


def split_path(path: str, root: str) -> tuple[tuple[str, ...], str]:
    """Directory components and file name of a path in `root` or relative to it, unchanged.

    Raises HookFailure (0110) for a path that leads elsewhere, and for one without a file name.
    """
    subdir, filename = os.path.split(path.removeprefix(root + "/"))
    try:
        check_filename(filename)
        return split_directory(subdir), filename
    except ValueError as error:
        raise HookFailure(str(error)) from error


class Directory:
    """An open directory below the output directory; its descriptor is closed with the last reference to this object.

    So code that is about to link into it, or has a hidden file there, keeps a valid descriptor, even if `Directories`
    has dropped it meanwhile.

    `path` is for messages and results; `full_path` does not depend on the current directory, which a plugin may change.
    `flushed` is true once its ancestors are durable; `one_flush` if a new file and its name in here then need one flush
    only. `on_other_mount`: it is not on the output directory's file system
    or mount, so files cannot be linked or renamed from there to here.
    """

    __slots__ = ("entry", "fd", "flushed", "full_path", "identity", "on_other_mount", "one_flush", "parent", "path")

    def __init__(self, path: str, full_path: str, fd: int, parent: Directory | None) -> None:
        self.fd = fd
        self.path = path
        self.full_path = full_path
        self.parent = parent
        self.identity = _identity(os.fstat(fd))
        self.entry = self.identity if parent is None else _identity(os.lstat(full_path))
        """The entry of its name in its parent: itself, or the link that was followed."""
        self.flushed = False
        self.one_flush = False
        self.on_other_mount: bool = parent is not None and (
            parent.on_other_mount or parent.identity[0] != self.identity[0]
        )

    @property
    def inner_path(self) -> str:
        """The path from the output directory on; "" for that itself."""
        root = self
        while root.parent is not None:
            root = root.parent
        return self.path[len(root.path) + 1 :]

    def __del__(self) -> None:
        with suppress(OSError):  # nothing was written through it
            os.close(self.fd)

    def is_current(self) -> bool:
        """Whether the path still leads to this directory by the same links: the directory may have been moved or
        removed meanwhile, or replaced by another user's link."""
        try:
            if self.parent is None:
                status = os.stat(self.full_path)
                return (status.st_dev, status.st_ino) == self.identity
            if not self.parent.is_current() or _identity(os.lstat(self.full_path)) != self.entry:
                return False
            return self.entry == self.identity or _identity(os.stat(self.full_path)) == self.identity
        except OSError:
            return False


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


class Directories:
    """Opens and creates directories below `root`, which is relative to `start`; keeps those last used open. With
    `strict_fsync` file and name are always flushed one after the other."""

    def __init__(self, root: str, start: str = "", *, strict_fsync: bool = False) -> None:
        self.root = root
        """The output directory as the user named it, for messages and results."""
        self.full_path = os.path.join(start, root)
        """The output directory, independent of the current directory, which a plugin may change."""
        self._strict = strict_fsync
        self._one_flush: dict[int, bool] = {}  # by device
        self._open: OrderedDict[tuple[str, ...], Directory] = OrderedDict()
        self._is_new = False
        """The output directory was missing and has been made again: its own name may not be on disk yet."""

    def get(self, parts: tuple[str, ...]) -> Directory:
        """The directory at `parts`, created with all its ancestors if missing (mode 0777 & ~umask).

        Raises StorageError (A700) if it cannot be opened, HookFailure (0110) if another user's link is in the way.
        """
        directory = self._open.get(parts)
        if directory is not None:
            if directory.is_current():
                self._open.move_to_end(parts)
                return directory
            del self._open[parts]  # it or one of its ancestors was moved or removed
            self._is_new = self._is_new or not parts
        try:
            return self._enter(parts)
        except OSError as error:
            raise storage_error(error, "Cannot open directory") from error

    def make_durable(self, directory: Directory) -> None:
        """Flush `directory`, and before its first use by this process every ancestor up to the output directory (and
        those above that, if it had to be made again).

        Raises OSError; then the next call flushes all of them again.
        """
        os.fsync(directory.fd)
        if directory.flushed:
            return
        ancestor = directory.parent
        while ancestor is not None:
            os.fsync(ancestor.fd)
            ancestor = ancestor.parent
        if self._is_new:
            _flush_above(self.full_path)
            self._is_new = False
        directory.flushed = True
        if not self._strict:
            device = directory.identity[0]
            if device not in self._one_flush:
                self._one_flush[device] = one_flush_suffices(directory.fd)
            directory.one_flush = self._one_flush[device]

    def _enter(self, parts: tuple[str, ...]) -> Directory:
        if parts:
            parent = self.get(parts[:-1])
            name = parts[-1]
            fd = _open_below(parent.fd, name, writers_only=parts == TEMPORARY_PARTS)
            directory = Directory(f"{parent.path}/{name}", f"{parent.full_path}/{name}", fd, parent)
        else:
            if not os.path.isdir(self.full_path):
                self._is_new = True
                os.makedirs(self.full_path, exist_ok=True)
            directory = Directory(self.root, self.full_path, os.open(self.full_path, DIRECTORY_FLAGS), None)
        self._open[parts] = directory
        if len(self._open) > _OPEN_DIRECTORIES:
            self._open.popitem(last=False)
        return directory


def _flush_above(path: str) -> None:
    """Flush the directories above `path` on its file system, as far as they may be opened; raises OSError."""
    below = os.open(path, DIRECTORY_FLAGS)
    try:
        while True:
            try:
                above = os.open("..", DIRECTORY_FLAGS, dir_fd=below)
            except PermissionError:
                return
            was, status = os.fstat(below), os.fstat(above)
            os.close(below)
            below = above
            if status.st_dev != was.st_dev or status.st_ino == was.st_ino:
                return
            os.fsync(above)
    finally:
        os.close(below)


def _open_below(parent: int, name: str, *, writers_only: bool) -> int:
    try:
        return open_directory(parent, name)
    except FileNotFoundError:
        made = False
        with suppress(FileExistsError):  # another worker was first
            os.mkdir(name, 0o777, dir_fd=parent)
            made = True
        fd = os.open(name, DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=parent)
        if made and writers_only:
            mode = stat.S_IMODE(os.fstat(fd).st_mode)
            writes = mode & 0o222
            os.fchmod(fd, mode & (0o7000 | writes << 1 | writes | writes >> 1))
        return fd


def open_directory(parent: int, name: str) -> int:
    """The descriptor of an existing directory in that of `parent`. Raises OSError, HookFailure (0110) if another user's
    link is in the way."""
    try:
        return os.open(name, DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=parent)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        return _follow(parent, name)


def _follow(parent: int, name: str) -> int:
    """Open the directory to which a link leads that root or our own user made.

    The link itself is opened and then read, so the link that is followed is the one whose owner was checked.
    """
    link = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        status = os.fstat(link)
        if not stat.S_ISLNK(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
        if status.st_uid not in (0, os.geteuid()):
            raise HookFailure(f"A foreign link is in the way: {name}")
        return os.open(os.readlink("", dir_fd=link), DIRECTORY_FLAGS, dir_fd=parent)
    finally:
        os.close(link)
