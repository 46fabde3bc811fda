"""A state directory belongs to one receiver at a time: the one whose supervisor holds its lock.

Two files in it are locked (flock), both at the start and never later, for the disk may hang then:

    owner.lock      by the supervisor alone: its children close their copy. It says in words who that is.
    processes.lock  by the supervisor and, because they keep their copy, all its children. So a start whose predecessor
                    was killed sees that processes of it still work in the directory, and waits for their end.

Such a lock belongs to the open file, whatever the process number means in another namespace, and ends with the last
descriptor, so a crash leaves nothing that has to be judged by its age.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dcmrecv_core.api.errors import StateDirectoryError, StatusError
from dcmrecv_core.net.child import fork
from dcmrecv_core.storage.directories import Directory
from dcmrecv_core.storage.hidden import TOKENS, is_locked, state_directory_of

if TYPE_CHECKING:
    from dcmrecv_core.hooks.plugins import Plugins
    from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("dcmrecv")

OWNER = "owner.lock"
PROCESSES = "processes.lock"

PATIENCE = 10.0
"""Seconds that a start waits for the children of a receiver that was killed."""

END_SECONDS = 1.0
"""Seconds that an end waits until the lock files are removed; a disk that hangs must not keep the process."""

_TICK = 0.05
_FLAGS = os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ATTEMPTS = 100
_LONGEST = 300


class _Taken(Exception):
    """Another open file holds the lock; the text says who that is."""


@dataclass(slots=True)
class Lock:
    """Both locks of a state directory, and the directory itself."""

    directory: Directory
    owner: int
    processes: int


@dataclass(slots=True)
class StateDirectory:
    """What a start found: it got the `lock`, or another receiver, `owner`, has it, or there is a `problem`."""

    lock: Lock | None = None
    owner: str = ""
    problem: str = ""

    @classmethod
    def take(cls, settings: Settings, patience: float = PATIENCE) -> StateDirectory:
        """Lock the state directory of these settings, which is made if it is missing. Waits `patience` seconds at most
        for the children of a receiver that was killed. Raises nothing."""
        if not os.path.isdir(os.path.join(settings.working_directory, settings.output_directory or ".")):
            return cls(problem="there is no output directory")  # which ends the start
        try:
            return cls(_take(settings, patience))
        except _Taken as error:
            return cls(owner=str(error))
        except (OSError, StatusError) as error:
            return cls(problem=getattr(error, "strerror", None) or str(error))

    def apply(self, settings: Settings) -> Settings:
        """The settings of a receiver with this state directory."""
        directory = str(settings.state_directory)
        return replace(settings, state_dir=directory, owns_state=self.lock is not None, state_owner=self.owner)

    def check(self, settings: Settings, plugins: Plugins) -> None:
        """Say what a receiver has to do without. Raises StateDirectoryError if it has plugins that work in a state
        directory and that is another receiver's."""
        if self.owner:
            if names := plugins.order("background"):
                raise StateDirectoryError(
                    f"plugin {names[0]} needs the state directory {settings.state_dir}, which belongs to another "
                    f"receiver ({self.owner}): give this one its own with --state-dir"
                )
            log.warning(
                "state directory %s belongs to another receiver (%s), going on without one; --state-dir gives this one "
                "its own",
                settings.state_dir,
                self.owner,
            )
        elif self.problem:
            log.warning(
                "cannot lock state directory %s: %s; whether another receiver uses it is not known",
                settings.state_dir,
                self.problem,
            )

    def abandon(self) -> None:
        """In a child: let go of what is the supervisor's alone. The other lock stays for as long as the child lives."""
        if self.lock is not None:
            os.close(self.lock.owner)

    def release(self) -> None:
        """At the end: remove the lock files, and the directory if it is in the output directory and nothing else is in
        it, unless children are still there. Takes `END_SECONDS` at most."""
        lock, self.lock = self.lock, None
        if lock is None:
            return
        os.close(lock.processes)
        with suppress(OSError):  # no process can be had: the files stay, unlocked
            pid = fork(lambda: _remove(lock))
            end = time.monotonic() + END_SECONDS
            while not os.waitpid(pid, os.WNOHANG)[0] and time.monotonic() < end:
                time.sleep(0.002)
        os.close(lock.owner)


def _take(settings: Settings, patience: float) -> Lock:
    """Raises `_Taken`, OSError or StatusError."""
    directories, parts = state_directory_of(settings)
    for attempt in range(_ATTEMPTS):
        directory = directories.get(parts)
        try:
            owner = _lock(directory, OWNER)
            break
        except FileNotFoundError:  # its last owner removes it at this moment
            if attempt == _ATTEMPTS - 1:
                raise
    try:
        _write(directory, _ourselves(settings))
        return Lock(directory, owner, _wait(directory, patience))
    except BaseException:
        os.close(owner)
        raise


def _write(directory: Directory, text: str) -> None:
    """Say whose the directory is, as far as there is room for it."""
    with suppress(OSError):
        fd = os.open(OWNER, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory.fd)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def _wait(directory: Directory, patience: float) -> int:
    """Lock what the children of the last owner still hold for a moment."""
    end = time.monotonic() + patience
    says = True
    while True:
        try:
            return _lock(directory, PROCESSES)
        except _Taken:
            if time.monotonic() >= end:
                raise _Taken("its main process is gone, others of it still run") from None
        if says:
            log.warning("waiting for processes of a receiver that was killed, they still use %s", directory.path)
            says = False
        time.sleep(_TICK)


def _lock(directory: Directory, name: str) -> int:
    """Open and lock one of the two files; raises `_Taken` with what is in it, OSError.

    Not for writing, because a file system with such a descriptor cannot be remounted read-only; but NFS asks for it.
    """
    mode = os.O_RDONLY
    for _ in range(_ATTEMPTS):
        fd = os.open(name, mode | _FLAGS, 0o600, dir_fd=directory.fd)  # whoever can open it can hold its lock
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
                raise OSError(0, f"{name} is not a file of ours")  # it is written to
            if is_locked(fd):
                raise _Taken(_printable(os.pread(fd, _LONGEST, 0)))
            with suppress(FileNotFoundError):  # its last owner has removed it since it was opened
                if os.path.samestat(status, os.stat(name, dir_fd=directory.fd, follow_symlinks=False)):
                    return fd
        except BaseException as error:
            os.close(fd)
            if not isinstance(error, OSError) or error.errno != errno.EBADF or mode == os.O_RDWR:
                raise
            mode = os.O_RDWR
        else:
            os.close(fd)
    raise OSError(0, f"{name} is removed again and again")


def _remove(lock: Lock) -> int:
    """In a child that still has the owner's lock."""
    at = lock.directory.fd
    with suppress(OSError, _Taken):
        os.close(_lock(lock.directory, PROCESSES))  # no child is left
        os.unlink(PROCESSES, dir_fd=at)
        with suppress(OSError):
            os.rmdir(TOKENS, dir_fd=at)
        os.unlink(OWNER, dir_fd=at)
        if lock.directory.parent is not None:  # an administrator's own stays
            os.rmdir(os.path.basename(lock.directory.full_path), dir_fd=lock.directory.parent.fd)
    return 0


def _ourselves(settings: Settings) -> str:
    port = "a port that was passed to it" if settings.port is None else f"port {settings.port}"
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"host {os.uname().nodename}, process {os.getpid()}, {port}, since {since}"


def _printable(text: bytes) -> str:
    found = "".join(character for character in text.decode(errors="replace") if character.isprintable())
    return found or "which has not said yet who it is"
