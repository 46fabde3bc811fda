"""The queue between the workers and the feeder: files of lines in one directory.

Each worker process appends to a file of its own, so no one waits. The writer holds an exclusive `flock` on its file as
long as it is open; the kernel lets it go however the process ends. So a file is removed only when all of it is in the
database *and* its lock can be had: nothing will ever be appended to it.

What the writer has written survives its death. After a power failure the last lines may be missing, as nothing is
synced here (that would take milliseconds of the sender's time); `dcmrecv-index rescan` finds those instances.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SUFFIX = ".jsonl"

PUT_ASIDE = f"put-aside{SUFFIX}"
"""The file of records that could not be indexed; it is in the same directory, but none of the queue."""

ROTATE_SIZE = 1 << 20
"""A writer starts a new file after so many bytes, so that the disk space of read ones comes back."""

_READ_SIZE = 1 << 20

# The time since the start of the system: it goes on while the machine sleeps, and setting the clock does not change it.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def moment() -> int:
    """A number, in nanoseconds, that rises from record to record until the system is started again."""
    return time.clock_gettime_ns(_CLOCK)


@cache
def boot() -> str:
    """What tells this run of the system from others, "" if the system does not say it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return ""


class QueueWriter:
    """Appends lines to this process's file in `directory`, which is made when it is first needed."""

    def __init__(self, directory: Path, rotate_size: int = ROTATE_SIZE) -> None:
        self._directory = directory
        self._rotate_size = rotate_size
        self._fd: int | None = None
        self._size = 0

    def append(self, line: bytes, at: int = 0) -> None:
        """Write a line of the moment `at` in one go. Raises OSError if it cannot be written whole."""
        if self._fd is None:
            self._fd = self._open(at)
            self._size = 0
        written = os.write(self._fd, line)
        self._size += written
        if written < len(line):
            # a torn line is one that nobody can read; it must not become the beginning of the next
            self.close()
            raise OSError("the queue's disk is full")
        if self._size >= self._rotate_size:
            self.close()

    def close(self) -> None:
        """Let go of the file; the feeder removes it when it has read it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self, at: int) -> int:
        self._directory.mkdir(parents=True, exist_ok=True)
        marker = _marker_of(self._directory)
        while True:
            # process ids come again, the time does not
            path = self._directory / f"{time.time_ns()}-{os.getpid()}-{at}-{marker}{SUFFIX}"
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(fd).st_nlink:
                    return fd
            except BlockingIOError:
                pass
            os.close(fd)  # the reader took the empty file for a left one just now


def is_of(name: str, directory: Path) -> bool:
    """Whether a file of that name, which is gone, may have been in this queue: several queues may feed one database,
    which has the names of all. Names of older versions do not tell."""
    parts = name.removesuffix(SUFFIX).split("-")
    return len(parts) != 4 or (directory.exists() and parts[3] == _marker_of(directory))


def _marker_of(directory: Path) -> str:
    """Of the files that are made in this queue in this run of the system."""
    return f"{boot()}.{os.stat(directory).st_ino}"


def queue_files(directory: Path) -> list[Path]:
    """The files of the queue, oldest first."""
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == SUFFIX and path.name != PUT_ASIDE)
    except FileNotFoundError:
        return []


def read_lines(path: Path, position: int, end: int | None = None) -> Iterator[tuple[bytes, int]]:
    """Each complete line from `position` on, up to `end` if it is given, with the position after it; nothing if the
    file is gone."""
    try:
        file = path.open("rb", buffering=_READ_SIZE)
    except FileNotFoundError:
        return
    with file:
        file.seek(position)
        for line in file:
            position += len(line)
            if not line.endswith(b"\n") or (end is not None and position > end):
                return  # it is being written, or its writer was killed
            yield line, position


def remove_if_left(path: Path, position: int) -> bool:
    """Remove a file that no process writes to any more and that has no line after `position`; whether it is gone."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # under the lock: what was appended since the last look would be lost
        if next(read_lines(path, position), None) is not None:
            return False
        path.unlink(missing_ok=True)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
