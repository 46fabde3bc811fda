"""Files that have no name yet, and how they get one.

O_TMPFILE with linkat where the file system has it: a killed process leaves nothing. Elsewhere a hidden file named
after host, boot and process, so that another start can tell what is left over and sweep it.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
import re
import time
from functools import cache

from dcmrecv_core.names import RESERVED
from dcmrecv_core.receive.directories import Directories, Directory
from dcmrecv_core.receive.renaming import rename_exchange, rename_noreplace

log = logging.getLogger("dcmrecv.receive")

TEMPORARY_PARTS = (RESERVED, "tmp")
"""Where hidden files live below the output directory; on another file system: beside their target."""

PROBE_NAME = f"{RESERVED}-probe.tmp"
"""The name that a start tries to give in the output directory. It is always the same: what a start leaves that is
killed in that moment is found by the next one without looking through millions of entries."""

_FOREIGN_AGE = 24 * 3600.0
NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
"""What open says where O_TMPFILE is missing."""

_REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)
_NO_LINK = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_HIDDEN = re.compile(re.escape(RESERVED) + r"-(?P<host>.+)-(?P<boot>[0-9a-f]{8})-(?P<pid>\d+)-\d+\.tmp\Z")
_counter = itertools.count()


class Temporary:
    """An open file without its final name; `close` leaves nothing behind unless it was `published`."""

    __slots__ = ("_hidden", "_place", "fd", "lost", "published")

    def __init__(self, fd: int, place: Directory | None = None, hidden: str = "") -> None:
        self.fd = fd
        self.published = False
        self.lost = False
        """A flush failed: what it holds is not to be relied on, even if a later flush succeeds."""
        self._place = place
        self._hidden = hidden

    def flush(self) -> None:
        """fsync; raises OSError, and from then on whenever it is asked again."""
        if self.lost:
            raise OSError(errno.EIO, "A flush failed before")
        try:
            os.fsync(self.fd)
        except OSError:
            self.lost = True
            raise

    def link(self, directory: Directory, name: str) -> None:
        """Give it the name if that is free (FileExistsError if not); readers see nothing or the whole file.

        Raises another OSError, of `NO_NOCLOBBER` where the file system can give names only by overwriting.
        """
        if self._place is None:
            link_unnamed(self.fd, directory, name)
        else:
            try:
                os.link(self._hidden, name, src_dir_fd=self._place.fd, dst_dir_fd=directory.fd, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise
                rename_noreplace(self._place.fd, self._hidden, directory.fd, name)
                self._hidden = ""
            self._drop_hidden()
        self.published = True

    def replace(self, place: Directory, directory: Directory, name: str) -> None:
        """Give it the name whoever has it; `place` is where a hidden link may stand in between."""
        place = self._hide(place)
        os.rename(self._hidden, name, src_dir_fd=place.fd, dst_dir_fd=directory.fd)
        self._hidden = ""
        self.published = True

    def exchange(self, place: Directory, directory: Directory, name: str) -> tuple[Directory, str]:
        """Give it the name, and hand over what had it: returns the directory and the hidden name where that stands now,
        which the caller has to remove. `place` is as for `replace`.

        Raises OSError with nothing changed: of `NO_EXCHANGE` where the file system cannot, FileNotFoundError if
        nothing has the name (any longer).
        """
        place = self._hide(place)
        rename_exchange(place.fd, self._hidden, directory.fd, name)
        hidden, self._hidden = self._hidden, ""
        self.published = True
        return place, hidden

    def _hide(self, place: Directory) -> Directory:
        """Make sure that it has a hidden name, in `place` if it had none; returns where that is."""
        if self._place is None:
            hidden = hidden_name()
            link_unnamed(self.fd, place, hidden)
            self._place, self._hidden = place, hidden
        return self._place

    def close(self) -> None:
        """Close the descriptor and remove the hidden name, if there still is one."""
        if self._hidden:
            self._drop_hidden()
        try:
            os.close(self.fd)
        except OSError as error:
            # What was to be durable has been flushed before; without --fsync nobody waits for this.
            log.warning("cannot close a file: %s", error)

    def _drop_hidden(self) -> None:
        if self._hidden and self._place is not None:
            try:
                os.unlink(self._hidden, dir_fd=self._place.fd)
            except OSError as error:
                log.warning("cannot remove %s, which is swept later: %s", self._hidden, error)
            self._hidden = ""


def link_unnamed(fd: int, directory: Directory, name: str) -> None:
    # only with a dir_fd given does os.link call linkat with AT_SYMLINK_FOLLOW; else it fails with EXDEV
    os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=directory.fd, follow_symlinks=True)


def open_unnamed(directory: Directory) -> int:
    """A readable and writable file without a name on the directory's file system; raises OSError."""
    return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666, dir_fd=directory.fd)


def open_hidden(place: Directory) -> Temporary:
    """A temporary with a hidden name in `place`, where unnamed files are not to be had; raises OSError."""
    hidden = hidden_name()
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return Temporary(os.open(hidden, flags, 0o666, dir_fd=place.fd), place, hidden)


def hidden_name() -> str:
    """A name that no other process of any host uses now."""
    return f"{RESERVED}-{_host()}-{_boot_id()}-{os.getpid()}-{next(_counter)}.tmp"


@cache
def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "_", os.uname().nodename)[:64] or "localhost"


@cache
def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read(8)
    except OSError:
        return "0" * 8


def sweep(directory: Directory) -> None:
    """Remove what dead processes left: of this host at once, of others after 24 hours.

    To be called before this process makes hidden files of its own there: what bears its number is a predecessor's.
    Raises nothing: that something cannot be removed must keep nobody from storing.
    """
    try:
        with os.scandir(directory.fd) as entries:
            for entry in entries:
                match = _HIDDEN.match(entry.name)
                if match and _is_dead(match, entry):
                    _remove(directory, entry.name)
    except OSError as error:
        log.warning("cannot sweep %s: %s", directory.path, error)


def _remove(directory: Directory, name: str) -> None:
    try:
        os.unlink(name, dir_fd=directory.fd)
    except FileNotFoundError:
        pass  # there is nothing, or another receiver sweeps the same directory
    except OSError as error:
        log.warning("cannot remove what is left of a dead process: %s/%s: %s", directory.path, name, error)


def _is_dead(match: re.Match[str], entry: os.DirEntry[str]) -> bool:
    if match["host"] != _host():
        try:
            return time.time() - entry.stat(follow_symlinks=False).st_mtime > _FOREIGN_AGE
        except FileNotFoundError:
            return False
    pid = match["pid"]
    return match["boot"] != _boot_id() or int(pid) == os.getpid() or not os.path.exists(f"/proc/{pid}")


class Capabilities:
    """What the output directory's file system can do, tried once at the start.

    `unnamed`: O_TMPFILE and linkat through /proc work; `noclobber`: a file can get a name without overwriting.
    """

    __slots__ = ("noclobber", "unnamed")

    def __init__(self, unnamed: bool = True, noclobber: bool = True) -> None:
        self.unnamed = unnamed
        self.noclobber = noclobber

    @classmethod
    def probe(cls, directories: Directories) -> Capabilities:
        """Try it in the output directory; raises StorageError or OSError if nothing can be written there.

        Sweeps what other starts and other processes have left, where hidden files are and under `PROBE_NAME`.
        """
        root = directories.get(())
        if os.path.isdir("/".join((directories.root, *TEMPORARY_PARTS))):
            sweep(directories.get(TEMPORARY_PARTS))
        try:
            if cls._can_link(Temporary(open_unnamed(root)), root):
                return cls(unnamed=True, noclobber=True)
        except OSError as error:
            if error.errno not in NO_TMPFILE:
                raise
        place = directories.get(TEMPORARY_PARTS)
        return cls(unnamed=False, noclobber=cls._can_link(open_hidden(root if place.foreign else place), root))

    @staticmethod
    def _can_link(temporary: Temporary, root: Directory) -> bool:
        name = PROBE_NAME
        _remove(root, name)
        try:
            try:
                temporary.link(root, name)
            except FileExistsError:  # another receiver starts at this moment
                name = hidden_name()
                temporary.link(root, name)
            _remove(root, name)
        except OSError as error:
            if error.errno in _REFUSED:
                raise
            return False
        finally:
            temporary.close()
        return True
