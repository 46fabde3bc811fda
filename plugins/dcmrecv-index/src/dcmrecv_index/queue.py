"""The queue between the workers and the feeder: files of lines in one directory.

Each worker process appends to a file of its own, so workers do not wait for each other. A writer holds an exclusive
`flock` on its open file; the kernel releases it however the process ends. A file is removed only when all of it is in
the database *and* the lock is free: then nothing will be appended to it.

Lines survive the end of their writer. After a power failure the last ones may be missing, because they are not synced
(the sender would wait for that); `dcmrecv-index rescan` finds those instances.
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
"""The file of records that could not be indexed; it is in the same directory, but not part of the queue."""

ROTATE_SIZE = 1 << 20
"""A writer starts a new file after so many bytes, so that finished ones can be removed."""

_READ_SIZE = 1 << 20

# The time since the boot: it goes on while the machine sleeps, and setting the clock does not change it.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def moment() -> int:
    """Nanoseconds since the boot: a number that rises from record to record until the next boot."""
    return time.clock_gettime_ns(_CLOCK)


@cache
def boot_id() -> str:
    """Identifies this boot of the system; "" where the system has no such id."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return ""


class QueueWriter:
    """Appends lines to this process's file in `directory`, which is made for the first line."""

    def __init__(self, directory: Path, rotate_size: int = ROTATE_SIZE) -> None:
        self._directory = directory
        self._rotate_size = rotate_size
        self._fd: int | None = None
        self._size = 0

    def append(self, line: bytes, at: int = 0) -> None:
        """Write a line of the moment `at` with one system call. Raises OSError if it cannot be written whole."""
        if self._fd is None:
            self._fd = self._open(at)
            self._size = 0
        written = os.write(self._fd, line)
        self._size += written
        if written < len(line):
            # a part of a line cannot be read; the next line must not be appended to it
            self.close()
            raise OSError("the queue's disk is full")
        if self._size >= self._rotate_size:
            self.close()

    def close(self) -> None:
        """Close the file; the feeder removes it when it has read it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self, at: int) -> int:
        self._directory.mkdir(parents=True, exist_ok=True)
        marker = _marker_of(self._directory)
        while True:
            # process ids are used again, times are not
            path = self._directory / f"{time.time_ns()}-{os.getpid()}-{at}-{marker}{SUFFIX}"
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(fd).st_nlink:
                    return fd
            except BlockingIOError:
                pass
            os.close(fd)  # the feeder has just removed the empty file as finished


def may_belong_to(name: str, directory: Path) -> bool:
    """Whether a removed file of that name may have been in this queue: several queues may feed one database, which has
    the names of all. Names of older versions do not say it."""
    parts = name.removesuffix(SUFFIX).split("-")
    return len(parts) != 4 or (directory.exists() and parts[3] == _marker_of(directory))


def _marker_of(directory: Path) -> str:
    """The last part of the names of files that are made in this queue in this boot of the system."""
    return f"{boot_id()}.{os.stat(directory).st_ino}"


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


def remove_if_finished(path: Path, position: int) -> bool:
    """Remove a file without writer and without lines after `position`. Returns whether it is gone."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # checked under the lock: a line may have been appended meanwhile
        if next(read_lines(path, position), None) is not None:
            return False
        path.unlink(missing_ok=True)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
