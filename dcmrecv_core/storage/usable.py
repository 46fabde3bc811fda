"""Whether instances can be stored in the output directory now. It is asked in a background thread, as the disk may
hang, and never in the supervisor."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from dcmrecv_core.storage.directories import DIRECTORY_FLAGS, fault_of
from dcmrecv_core.storage.mounts import mount_of

ANSWER_TIMEOUT = 0.5
"""Seconds to wait for the file system."""


class DiskQuestion:
    """A question about the disk, with a text as its answer. It is asked again only after it has been answered, whatever
    thread asks."""

    def __init__(self, question: Callable[[], str]) -> None:
        self._question = question
        self._answer = ""
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def ask(self) -> str | None:
        """The answer, perhaps to an earlier call; None if there is none in time. Raises RuntimeError if no thread can
        be started."""
        with self._lock:
            if self._thread is None:
                self._answer = ""
                self._thread = threading.Thread(target=self._run, name="question about the disk", daemon=True)
                self._thread.start()
            self._thread.join(ANSWER_TIMEOUT)
            if self._thread.is_alive():
                return None
            self._thread = None
            return self._answer

    def _run(self) -> None:
        self._answer = self._question()


class OutputDirectory:
    """Finds out why nothing can be stored in `directory`, the output directory as an absolute path.

    `minimum` is the one of `--min-free`; `mount_point` is that of its file system at the start, "" if not known.
    `elsewhere`: the receiver is in another mount namespace, so the directory may have no name here.
    """

    def __init__(self, directory: str, minimum: int | None, mount_point: str, *, elsewhere: bool = False) -> None:
        self._directory = directory
        self._elsewhere = elsewhere
        self._minimum = minimum
        self._mount_point = mount_point
        self._mounted: tuple[int, int] | None = None
        """Device and inode with which it was found to be mounted: it still is while it has them."""
        self._asked = DiskQuestion(self._find_problem)
        self.responds = True
        """Whether its file system gave an answer the last time."""

    def problem(self) -> str:
        """What is wrong with it now, in words; "" for nothing. Takes `ANSWER_TIMEOUT` at most."""
        found = self._asked.ask()
        self.responds = found is not None
        return f"file system of {self._directory} does not respond" if found is None else found

    def _find_problem(self) -> str:
        if self._elsewhere and not os.path.isdir(self._directory):
            return ""
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
