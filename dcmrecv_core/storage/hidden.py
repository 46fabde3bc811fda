"""Hidden files: whose they are, by their names, and which of them may be removed.

A hidden file is called `.dcmrecv-TOKEN-N.tmp`, or `.old.tmp` if it is to be exchanged for another (see `handed_over`);
TOKEN is random and belongs to one process, N counts. Host name, boot id
and process number would not do: two containers on one host have all three in common.

A process that makes hidden files lists its token in the receiver's state directory, as a file of that name which it
keeps locked while it lives. Its number would prove nothing to a process in another PID namespace; the lock does. The
file says which one it is, for a copy of it is locked by no one: state directories are copied, and machines with them.
Removed is only what is proven to be ours (the token is listed in our own state directory, by the very file that was
made for it, and nothing holds its lock), or what nothing holds a lock on and nothing has changed for 24 hours.

The token's file has two parts: in its first line which file it is, and then the directories in which its process made
hidden files last, each ended by NUL, where the next start looks.
"""

from __future__ import annotations

import fcntl
import itertools
import logging
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dcmrecv_core.api.errors import StatusError
from dcmrecv_core.api.names import RESERVED, split_directory
from dcmrecv_core.storage.directories import Directories, Directory
from dcmrecv_core.storage.handed_over import AT, OLD, HandedOver
from dcmrecv_core.storage.mounts import locks_count

if TYPE_CHECKING:
    from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("dcmrecv.receive")

ABANDONED_AFTER = 24 * 3600.0
"""Seconds without a change after which a file of an unknown owner is removed."""

RENEWED_EVERY = 3600.0
"""Seconds between two updates of the time stamps of a process's hidden files, which keep others from removing them."""

TOKENS = "tokens"
"""Where tokens are listed, in the state directory."""

# or, of earlier versions, host name, boot id and process number in place of the token
_HIDDEN = re.compile(
    re.escape(RESERVED) + r"-(?:(?P<token>[0-9a-f]{16})|.+-[0-9a-f]{8}-\d+)-\d+(?P<kind>\.old|\.at)?\.tmp\Z"
)
_TOKEN = re.compile(r"[0-9a-f]{16}\Z")
_MOST_NOTED = 16
"""Directories noted with a token. An instance needs three at most: of its spool, its target, and an exchange."""

_EXISTING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NOTED = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def is_locked(fd: int) -> bool:
    """Whether another open file holds the lock; if not, `fd` holds it from now on. Raises OSError if locks do not
    work."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


class Tokens:
    """The tokens of a receiver's processes, in its state directory."""

    def __init__(self, directories: Directories, parts: tuple[str, ...] = ()) -> None:
        self._directories = directories
        self._parts = (*parts, TOKENS)

    @classmethod
    def of(cls, settings: Settings) -> Tokens | None:
        """The tokens of a receiver with these settings; None if it owns no state directory."""
        return cls(*state_directory_of(settings)) if settings.owns_state else None

    def take(self) -> tuple[str, int | None]:
        """A new token, and the descriptor that holds its lock; None, and it is not listed, where locks do not count.
        Raises OSError or StatusError if it cannot be listed."""
        directory = self._directory()
        if not locks_count(directory.fd):
            return _random(), None
        while True:
            token = _random()
            _list(directory, token)
            # not for writing: a file system with such a descriptor cannot be remounted read-only
            fd = os.open(token, _EXISTING, dir_fd=directory.fd)
            try:
                if not is_locked(fd):
                    return token, fd
            except OSError:
                self.drop(token, fd)
                raise
            os.close(fd)  # a sweep was first, and takes it for the token of a dead process

    def drop(self, token: str, fd: int) -> None:
        """Remove a token that the process needs no longer. Raises nothing."""
        with suppress(OSError, StatusError):
            os.unlink(token, dir_fd=self._directory().fd)
        os.close(fd)

    def note(self, token: str, places: Iterable[str]) -> None:
        """Write into a token's file where its process has hidden files: paths from the output directory on. Raises
        nothing: if it fails, only the next hidden file of the same directory makes a process look there."""
        with suppress(OSError, StatusError):
            fd = os.open(token, _NOTED, dir_fd=self._directory().fd)
            try:
                text = _birth_of(fd) + b"".join(os.fsencode(place) + b"\0" for place in places)
                os.ftruncate(fd, os.pwrite(fd, text, 0))
            finally:
                os.close(fd)

    def noted(self) -> set[str]:
        """Where dead processes had hidden files. Raises nothing."""
        found: set[str] = set()
        with suppress(OSError, StatusError):
            if not os.path.isdir(os.path.join(self._directories.full_path, *self._parts)):
                return found
            directory = self._directory()
            for token in _listed(directory) if locks_count(directory.fd) else ():
                with suppress(OSError):
                    found.update(_notes(directory, token))
        return found

    @contextmanager
    def holding(self, token: str, place: Directory) -> Iterator[bool | None]:
        """Whether the process of this token, which has a hidden file in `place`, is dead, which then is certain
        meanwhile; None if that cannot be known."""
        fd, is_dead = None, None
        with suppress(OSError, StatusError):  # it is not listed here
            directory = self._directory()
            if locks_count(directory.fd):
                fd = os.open(token, _EXISTING, dir_fd=directory.fd)
                if is_locked(fd):
                    is_dead = False
                elif _is_original(fd, place):
                    is_dead = True
        try:
            yield is_dead
        finally:
            if fd is not None:
                os.close(fd)

    def purge(self) -> None:
        """Remove the tokens of processes dead for so long that their files are removed for their age. Raises
        nothing."""
        with suppress(OSError, StatusError):
            directory = self._directory()
            for token in _listed(directory):
                if is_abandoned(directory, token, locks=True):
                    remove(directory, token)

    def _directory(self) -> Directory:
        return self._directories.get(self._parts)


def state_directory_of(settings: Settings) -> tuple[Directories, tuple[str, ...]]:
    """The state directory; if it is below the output directory, opened from there, because other users may have planted
    links."""
    root = os.path.join(settings.working_directory, settings.output_directory or ".")
    if settings.state_directory == Path(root) / RESERVED:
        return Directories(root), (RESERVED,)
    return Directories(str(settings.state_directory)), ()


class Place(NamedTuple):
    """A directory for hidden files. `locks`: whether a lock there proves that the owner lives."""

    directory: Directory
    files: HiddenFiles
    locks: bool

    def name(self) -> str:
        """A name for a hidden file here, which no other process uses; the place is noted before."""
        name = self.files.name()
        self.files.note(self.directory)
        return name


class HiddenFiles:
    """The hidden files of one process. Its token is made and listed when the first of them needs a name. `directories`
    are the output directory's: what an exchange has handed over gets a name there again."""

    def __init__(self, tokens: Tokens | None = None, directories: Directories | None = None) -> None:
        self._tokens = tokens
        self._directories = directories
        self._token = ""
        self._lock: int | None = None
        self._counter = itertools.count()
        self._locks: dict[tuple[int, int], bool] = {}
        self._noted: list[str] = []
        self._renew_at = 0.0
        self.open: set[int] = set()
        """Descriptors of those that are open."""

    def name(self) -> str:
        """A name that no other process uses, on this host or another."""
        if not self._token:
            self._token = self._take_token()
        return f"{RESERVED}-{self._token}-{next(self._counter)}.tmp"

    def place(self, directory: Directory, *, sweeps: bool = True) -> Place:
        """`directory` as a place for hidden files; the first time, files of dead processes are removed there."""
        locks = self._locks.get(directory.identity)
        if locks is None:
            locks = self._locks[directory.identity] = locks_count(directory.fd)
            if sweeps:
                self._sweep(directory, locks)
        return Place(directory, self, locks)

    def note(self, directory: Directory) -> None:
        """Note that a hidden file is made in `directory`: if the process is killed, the next start looks there. Raises
        nothing."""
        if self._tokens is None or self._lock is None:
            return
        path = directory.inner_path
        is_new = path not in self._noted
        self._noted = [*(other for other in self._noted if other != path), path][-_MOST_NOTED:]
        if is_new:
            self._tokens.note(self._token, self._noted)

    def sweep_noted(self) -> None:
        """Remove what dead processes of this receiver left where they noted it. Raises nothing."""
        if self._tokens is None or self._directories is None:
            return
        for path in sorted(self._tokens.noted()):
            with suppress(OSError, StatusError, ValueError):
                if os.path.isdir(os.path.join(self._directories.full_path, path)):
                    self.place(self._directories.get(split_directory(path)))

    def renew(self, now: float) -> None:
        """Once an hour, update the time stamps of open files, which are still needed. Raises nothing."""
        if now < self._renew_at:
            return
        self._renew_at = now + RENEWED_EVERY
        for fd in [*self.open, *([] if self._lock is None else [self._lock])]:
            with suppress(OSError):
                os.utime(fd)

    def close(self) -> None:
        """Drop the token: the process makes no more hidden files."""
        self._noted = []
        if self._tokens is not None and self._lock is not None:
            self._tokens.drop(self._token, self._lock)
        self._token, self._lock = "", None

    def _take_token(self) -> str:
        if self._tokens is not None:
            try:
                token, self._lock = self._tokens.take()
                return token
            except (OSError, StatusError) as error:
                log.warning("cannot list temporary files in the state directory, old ones stay for a day: %s", error)
        return _random()

    def _sweep(self, directory: Directory, locks: bool) -> None:
        """Remove what dead processes left. Raises nothing: what cannot be removed must keep no one from storing."""
        try:
            with os.scandir(directory.fd) as entries:
                found = {entry.name: match for entry in entries if (match := _HIDDEN.match(entry.name))}
        except OSError as error:
            log.warning("cannot sweep %s: %s", directory.path, error)
            return
        for name, match in found.items():
            if match["kind"] == ".at" and name.replace(AT, OLD) in found:
                continue  # goes with that
            if self._tokens is not None and match["token"]:
                with self._tokens.holding(match["token"], directory) as is_dead:
                    if is_dead:
                        self._clear(directory, name)
                if is_dead is not None:
                    continue
            if is_abandoned(directory, name, locks=locks):
                self._clear(directory, name)
        if self._tokens is not None:
            self._tokens.purge()

    def _clear(self, directory: Directory, name: str) -> None:
        """Remove a file that no process works with any longer, or settle it if it was handed over. Raises nothing."""
        if not name.endswith(OLD):
            remove(directory, name)
        elif self._directories is not None:
            HandedOver(directory, name).settle(self._directories)


def is_abandoned(directory: Directory, name: str, *, locks: bool) -> bool:
    """Whether the file has not changed for a day and, if `locks` count, no process holds a lock on it."""
    try:
        status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
        if time.time() - status.st_mtime <= ABANDONED_AFTER:
            return False
        if not locks or not stat.S_ISREG(status.st_mode):
            return True
        fd = os.open(name, _EXISTING, dir_fd=directory.fd)
        try:
            return not is_locked(fd)
        finally:
            os.close(fd)
    except OSError:
        return False  # it is gone, or we may not read it


def remove(directory: Directory, name: str) -> bool:
    """Remove what is left over; whether nothing has that name now. A failure is logged."""
    try:
        os.unlink(name, dir_fd=directory.fd)
    except FileNotFoundError:
        pass  # there is none, or another receiver sweeps the same directory
    except OSError as error:
        log.warning("cannot remove what is left of a dead process: %s/%s: %s", directory.path, name, error)
        return False
    return True


def _list(directory: Directory, token: str) -> None:
    """Make a token's file. Raises OSError with nothing left."""
    fd = os.open(token, _NEW, 0o600, dir_fd=directory.fd)
    try:
        os.write(fd, _birth_of(fd))
    except OSError:
        os.unlink(token, dir_fd=directory.fd)
        raise
    finally:
        os.close(fd)


def _listed(directory: Directory) -> list[str]:
    """The tokens that are listed; raises OSError."""
    with os.scandir(directory.fd) as entries:
        return [entry.name for entry in entries if _TOKEN.match(entry.name)]


def _notes(directory: Directory, token: str) -> list[str]:
    """What the process of a token has noted, if it is dead; raises OSError."""
    fd = os.open(token, _EXISTING, dir_fd=directory.fd)
    try:
        text = b"" if is_locked(fd) else os.pread(fd, _MOST_NOTED << 13, 0)
    finally:
        os.close(fd)
    return [os.fsdecode(path) for path in text.partition(b"\n")[2].split(b"\0")[:-1]]


def _birth_of(fd: int) -> bytes:
    """Under which boot of the kernel a file was made, and which file it is: a copy is another."""
    boot = b"?"
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    status = os.fstat(fd)
    return b"%s %d %d\n" % (boot, status.st_dev, status.st_ino)


def _is_original(fd: int, place: Directory) -> bool:
    """Whether a token's file is the one that its process has made, and holds for hidden files in `place`.

    Either both are on one file system, which was copied as a whole if at all (device numbers change with each boot); or
    nothing has happened to them since: the kernel still is the same. A clone of a machine has both on file systems of
    its own, or another boot id. Raises OSError.
    """
    boot, device, inode = (*os.pread(fd, 256, 0).split(), b"", b"", b"")[:3]
    now = _birth_of(fd).split()
    if inode != now[2]:
        return False
    return os.fstat(fd).st_dev == place.identity[0] or (boot != b"?" and [boot, device] == now[:2])


def _random() -> str:
    return os.urandom(8).hex()
