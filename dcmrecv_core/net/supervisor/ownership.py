"""A state directory belongs to one receiver at a time: the one whose supervisor holds its lock.

The supervisor locks two files in it (flock), at the start only, because later the disk may hang:

    owner.lock      held by the supervisor alone: its children close their copy. The file describes the owner.
    processes.lock  held by the supervisor and all its children, which keep their copy. When a receiver was killed, the
                    next one sees by this lock that children still work in the directory, and waits until they end.

Such a lock belongs to an open file, not to a process. So in an upgrade it passes from one supervisor to the other with
a descriptor, and no third one can take it in between.

The kernel ends such a lock with the last descriptor of the open file. So no process number is compared, which means
nothing in another namespace, and after a crash no file has to be judged by its age.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dcmrecv_core.api.errors import StateDirectoryError, StatusError
from dcmrecv_core.api.settings import UID_HASH_KEY
from dcmrecv_core.logs.hashed_uids import UIDS
from dcmrecv_core.net.child import fork
from dcmrecv_core.net.control import address
from dcmrecv_core.storage.directories import Directory
from dcmrecv_core.storage.hidden import TOKENS, is_locked, state_directory_of
from dcmrecv_core.storage.journals.state_files import make_key

if TYPE_CHECKING:
    from dcmrecv_core.hooks.plugins import Plugins
    from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("dcmrecv")

OWNER = "owner.lock"
PROCESSES = "processes.lock"

CHILDREN_TIMEOUT = 10.0
"""Seconds to wait at the start for the children of a killed receiver."""

END_SECONDS = 1.0
"""Seconds to wait at the end until the lock files are removed: a disk that hangs must not keep the process."""

_RETRY_SECONDS = 0.05
_FLAGS = os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ATTEMPTS = 100
_MAX_OWNER_LENGTH = 300


class _LockHeld(Exception):
    """Another process holds the lock; the text describes the owner."""


@dataclass(slots=True)
class Lock:
    """Both locks of a state directory, and the directory itself. `owner` is None in a program that is to take over from
    another one, or has handed over."""

    directory: Directory
    owner: int | None
    processes: int


@dataclass(slots=True)
class StateDirectory:
    """The result of locking: this receiver has the `lock`, or another receiver, `owner`, or there was a `problem`."""

    lock: Lock | None = None
    owner: str = ""
    problem: str = ""

    @classmethod
    def take(cls, settings: Settings, timeout: float = CHILDREN_TIMEOUT) -> StateDirectory:
        """Make the state directory of these settings if it is missing, and lock it. Waits at most `timeout` seconds for
        the children of a killed receiver. Raises nothing."""
        if not os.path.isdir(os.path.join(settings.working_directory, settings.output_directory or ".")):
            return cls(problem="there is no output directory")  # which ends the start
        try:
            return cls(_take(settings, timeout))
        except _LockHeld as error:
            return cls(owner=str(error))
        except (OSError, StatusError) as error:
            return cls(problem=getattr(error, "strerror", None) or str(error))

    @classmethod
    def inherit(cls, settings: Settings, processes: int) -> StateDirectory:
        """That of the program that this one is to take over from, with its `processes.lock`. Raises StateDirectoryError
        if these settings have another one."""
        state = settings.state_directory
        try:
            is_theirs = os.path.samestat(os.fstat(processes), os.lstat(state / PROCESSES))
        except OSError:
            is_theirs = False
        if not is_theirs:
            raise StateDirectoryError(
                f"state directory {state} is not that of the running receiver, which only a restart can change"
            )
        directories, parts = state_directory_of(settings)
        try:
            return cls(Lock(directories.get(parts), None, processes))
        except (OSError, StatusError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise StateDirectoryError(f"state directory {state} cannot be used: {reason}") from error

    def take_over(self, owner: int, settings: Settings) -> None:
        """This receiver owns it from now on."""
        if self.lock is not None:
            lock, self.lock.owner = self.lock, owner
            with suppress(OSError):  # in a process, because the disk may hang; it only informs
                fork(lambda: _describe(lock, settings), outlives_parent=True)

    def pass_on(self) -> tuple[int, ...]:
        """The lock that makes another program the owner."""
        return () if self.lock is None or self.lock.owner is None else (self.lock.owner,)

    def hand_over(self) -> None:
        """The other program owns it."""
        for owner in self.pass_on():
            os.close(owner)
        if self.lock is not None:
            self.lock.owner = None

    def apply(self, settings: Settings) -> Settings:
        """The settings of a receiver with this state directory."""
        directory = str(settings.state_directory)
        return replace(settings, state_dir=directory, owns_state=self.lock is not None, state_owner=self.owner)

    def check(self, settings: Settings, plugins: Plugins) -> None:
        """Warn if this receiver has no state directory. Raises StateDirectoryError if it has plugins that need one and
        another receiver owns it, or plugins that deliver and it cannot be locked."""
        delivering = plugins.delivering(settings)
        names = [*plugins.order("background"), *delivering]
        if self.owner:
            if names:
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
        elif self.problem and delivering:
            raise StateDirectoryError(f"cannot lock state directory {settings.state_dir}: {self.problem}")
        elif self.problem:
            log.warning(
                "cannot lock state directory %s: %s; whether another receiver uses it is not known",
                settings.state_dir,
                self.problem,
            )

    def open_control(self) -> socket.socket | None:
        """The control socket; None, with a line in the log, without a state directory, or if there can be none."""
        problem = "there is no state directory of this receiver's own for one"
        if self.lock is not None:
            try:
                return address.open_listener(self.lock.directory.fd)
            except OSError as error:
                problem = error.strerror or str(error)
        log.info("no control socket, so dcmrecvctl cannot ask this receiver: %s", problem)
        return None

    def hash_uids(self, settings: Settings) -> None:
        """`--log-uids hashed`, with the key of the state directory. Raises StateDirectoryError if there is none."""
        if settings.log_uids == "original":
            UIDS.begin(None)
            return
        path = settings.state_directory / UID_HASH_KEY
        try:
            if self.owner:
                raise StateDirectoryError(
                    f"--log-uids hashed needs the state directory {settings.state_dir}, which belongs to another "
                    f"receiver ({self.owner}): give this one its own with --state-dir"
                )
            UIDS.begin(make_key(path))
        except OSError as error:
            raise StateDirectoryError(f"--log-uids hashed needs a key: {path}: {error.strerror}") from error

    def close_in_child(self) -> None:
        """In a child: close the copy of the owner's lock. The child keeps the other lock as long as it lives."""
        self.hand_over()

    def release(self) -> None:
        """At the end, unless children still run: remove the lock files, and the directory if it is empty and inside the
        output directory. Takes `END_SECONDS` at most."""
        lock, self.lock = self.lock, None
        if lock is None:
            return
        os.close(lock.processes)
        if lock.owner is None:  # another program's
            return
        with suppress(OSError):  # no fork: the files stay, unlocked
            pid = fork(lambda: _remove_files(lock), outlives_parent=True)
            end = time.monotonic() + END_SECONDS
            while not os.waitpid(pid, os.WNOHANG)[0] and time.monotonic() < end:
                time.sleep(0.002)
        os.close(lock.owner)


def _take(settings: Settings, timeout: float) -> Lock:
    """Raises `_LockHeld`, OSError or StatusError."""
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
        _write_owner(directory, _describe_owner(settings, os.getpid()))
        return Lock(directory, owner, _lock_processes(directory, timeout))
    except BaseException:
        os.close(owner)
        raise


def _write_owner(directory: Directory, text: str) -> None:
    """Describe the owner in its file; a full disk is no error."""
    with suppress(OSError):
        fd = os.open(OWNER, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory.fd)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def _lock_processes(directory: Directory, timeout: float) -> int:
    """Lock `processes.lock`, which children of a killed owner may still hold."""
    end = time.monotonic() + timeout
    logged = False
    while True:
        try:
            return _lock(directory, PROCESSES)
        except _LockHeld:
            if time.monotonic() >= end:
                raise _LockHeld("its main process is gone, others of it still run") from None
        if not logged:
            log.warning("waiting for processes of a receiver that was killed, they still use %s", directory.path)
            logged = True
        time.sleep(_RETRY_SECONDS)


def _lock(directory: Directory, name: str) -> int:
    """Open and lock one of the two files; raises OSError, or `_LockHeld` with the file's text.

    Opened for reading, because a file open for writing prevents a read-only remount; but NFS locks only the latter.
    """
    mode = os.O_RDONLY
    for _ in range(_ATTEMPTS):
        fd = os.open(name, mode | _FLAGS, 0o600, dir_fd=directory.fd)  # who can open a file can lock it
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
                raise OSError(0, f"{name} is not a file of ours")  # or the description would be written to another file
            if is_locked(fd):
                raise _LockHeld(_read_owner(os.pread(fd, _MAX_OWNER_LENGTH, 0)))
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


def _describe(lock: Lock, settings: Settings) -> int:
    _write_owner(lock.directory, _describe_owner(settings, os.getppid()))
    return 0


def _remove_files(lock: Lock) -> int:
    """Runs in a child that has the owner's lock."""
    at = lock.directory.fd
    with suppress(OSError):
        address.remove(at)
    with suppress(OSError, _LockHeld):
        os.close(_lock(lock.directory, PROCESSES))  # no other child runs
        os.unlink(PROCESSES, dir_fd=at)
        with suppress(OSError):
            os.rmdir(TOKENS, dir_fd=at)
        os.unlink(OWNER, dir_fd=at)
        if lock.directory.parent is not None:  # else the administrator has made it
            os.rmdir(os.path.basename(lock.directory.full_path), dir_fd=lock.directory.parent.fd)
    return 0


def _describe_owner(settings: Settings, pid: int) -> str:
    port = "a port that was passed to it" if settings.port is None else f"port {settings.port}"
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"host {os.uname().nodename}, process {pid}, {port}, since {since}"


def _read_owner(text: bytes) -> str:
    found = "".join(character for character in text.decode(errors="replace") if character.isprintable())
    return found or "owner not described yet"
