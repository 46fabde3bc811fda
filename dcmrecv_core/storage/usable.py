"""Whether instances can be stored in the output directory now. The disk may hang, so the supervisor never asks."""

from __future__ import annotations

import os

from dcmrecv_core.storage.directories import DIRECTORY_FLAGS, fault_of
from dcmrecv_core.storage.mounts import mount_of


class OutputDirectory:
    """Finds out why nothing can be stored in `directory`, the output directory as an absolute path.

    `minimum` is the one of `--min-free`; `mount_point` is that of its file system at the start, "" if not known.
    """

    def __init__(self, directory: str, minimum: int | None, mount_point: str) -> None:
        self._directory = directory
        self._minimum = minimum
        self._mount_point = mount_point
        self._mounted: tuple[int, int] | None = None
        """Device and inode with which it was found to be mounted: it still is while it has them."""

    def problem(self) -> str:
        """What is wrong with it now, in words; "" for nothing."""
        try:
            return self._unusable() or self._unmounted() or low_space(self._directory, self._minimum) or self._full()
        except OSError as error:
            return f"{self._directory} cannot be used: {error.strerror}"

    def _unusable(self) -> str:
        wrong, why = fault_of(self._directory)
        return f"{self._directory} {wrong}" + f": {why}" * bool(why) if wrong else ""

    def _unmounted(self) -> str:
        """A file system that is mounted below that of the start, or later, is all right."""
        status = os.stat(self._directory)
        identity = status.st_dev, status.st_ino
        if not self._mount_point or identity == self._mounted:
            return ""
        point = mount_point_of(self._directory)
        if point and os.path.commonpath([self._mount_point, point]) != self._mount_point:
            return f"{self._mount_point} is not mounted"
        self._mounted = identity
        return ""

    def _full(self) -> str:
        status = os.statvfs(self._directory)
        if not status.f_bavail:
            return f"{self._directory} has no space left"
        if status.f_files and not status.f_favail:  # f_files is 0 where inodes are not counted
            return f"{self._directory} has no inodes left"
        return ""


def low_space(directory: str, minimum: int | None) -> str:
    """Why there is less free than `--min-free`; "" if it is enough. Raises OSError."""
    if minimum is None:
        return ""
    status = os.statvfs(directory)
    free = status.f_bavail * status.f_frsize
    return f"{directory} has {free} bytes free, less than --min-free" if free < minimum else ""


def mount_point_of(directory: str) -> str:
    """Where the file system of a directory is mounted; "" if that is not known. Raises OSError."""
    fd = os.open(directory, DIRECTORY_FLAGS)
    try:
        mount = mount_of(fd)
    finally:
        os.close(fd)
    return "" if mount is None else mount.point
