"""Directories to store in where ext4 is no slower for one receiver than for another.

Before ext4 uses an inode it checks every inode of the group that was freed in the last minutes, which can cost more
than the receiver itself. So files are removed only at the end, directories are spread over the disk, and the one in
which files are made fastest is used. On other file systems this does no harm.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from pathlib import Path

_CANDIDATES = 6
_FILES = 40

_GET_FLAGS, _SET_FLAGS, _TOP_DIRECTORY = 0x80086601, 0x40086602, 0x00020000  # FS_IOC_* and FS_TOPDIR_FL of linux/fs.h


def spread(directory: Path) -> None:
    """Make ext4 place directories below this one far from each other (chattr +T)."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        [flags] = struct.unpack("l", fcntl.ioctl(descriptor, _GET_FLAGS, bytes(8)))
        fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("l", flags | _TOP_DIRECTORY))
    except OSError:  # another file system
        pass
    finally:
        os.close(descriptor)


def fresh(parent: Path) -> Path:
    """A new directory below `parent`."""
    return min((_candidate(parent) for _ in range(_CANDIDATES)), key=lambda timed: timed[0])[1]


def _candidate(parent: Path) -> tuple[int, Path]:
    directory = parent / f"{time.monotonic_ns()}"
    tried = directory / "tried"
    tried.mkdir(parents=True)
    start = time.perf_counter_ns()
    for number in range(_FILES):
        os.close(os.open(f"{tried}/{number}", os.O_WRONLY | os.O_CREAT))
    return time.perf_counter_ns() - start, directory


def empty(directory: Path) -> None:
    """Free the space of all files below, but not their inodes."""
    for folder, _, names in os.walk(directory):
        for name in names:
            if os.path.isfile(path := f"{folder}/{name}"):  # no socket
                os.truncate(path, 0)
