"""Where the control socket is: in $RUNTIME_DIRECTORY if that is set, and then a symbolic link in the state directory
points to it; else in the state directory.

The address of a Unix socket has 107 bytes at most, so directories are named by their descriptors.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

NAME = "control.sock"
_BACKLOG = 16


def open_listener(state_directory: int) -> socket.socket:
    """Bind the socket; `state_directory` is open, and locked by this process. What a killed receiver has left is
    replaced. Raises OSError, FileExistsError if another receiver listens in $RUNTIME_DIRECTORY."""
    runtime = runtime_directory()
    _unlink(state_directory)
    if not runtime:
        return _bind(state_directory)
    with _directory(runtime) as at:
        if _answers(at):
            raise FileExistsError(f"another receiver listens on {runtime}/{NAME}")
        _unlink(at)
        listener = _bind(at)
    os.symlink(os.path.join(os.path.abspath(runtime), NAME), NAME, dir_fd=state_directory)
    return listener


def remove(state_directory: int) -> None:
    """At a clean end, by the process that has the lock; `state_directory` is open."""
    with suppress(OSError):  # only a link of ours says that the other one is ours too
        runtime = os.path.dirname(os.readlink(NAME, dir_fd=state_directory))
        with _directory(runtime) as at:
            _unlink(at)
    _unlink(state_directory)


def runtime_directory() -> str:
    """That of systemd, the first one if there are several; "" if there is none."""
    return os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]


def connect(path: str, seconds: float) -> socket.socket:
    """A connection with the socket at `path`, whose calls wait at most so long. Raises OSError."""
    directory, name = os.path.split(path)
    with _directory(directory or ".") as at:
        return _connect(at, name, seconds)


def _bind(directory: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        umask = os.umask(0o177)
        try:
            listener.bind(_address(directory, NAME))
        finally:
            os.umask(umask)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _answers(directory: int) -> bool:
    try:
        _connect(directory, NAME, 0.0).close()
    except BlockingIOError:  # it has many clients
        return True
    except OSError:
        return False
    return True


def _connect(directory: int, name: str, seconds: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect(_address(directory, name))
    except BaseException:
        connection.close()
        raise
    return connection


def _address(directory: int, name: str) -> str:
    return f"/proc/self/fd/{directory}/{name}"


@contextmanager
def _directory(path: str) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _unlink(directory: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(NAME, dir_fd=directory)
