"""Log files that several processes write, and roll over, without losing a line.

* A record is one write to a file opened with O_APPEND: the kernel appends it.
* Before writing, a process checks that the path is still the file it has open, and opens it anew if it was rolled
  over, rotated or removed. A process that is too late writes to the end of the backup.
* The process that rolls a file over holds a lock on it (`flock` of a descriptor of its own: forked processes share the
  others), and checks again that the file is due. No process waits for the lock: a stopped one must not stop others.

A file that cannot be written or rolled over is reported on standard error, once until that works again; receiving goes
on.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import time
from collections.abc import Callable
from typing import Final

from dcmrecv_core.logs.console import complain
from dcmrecv_core.logs.records import BytesHandler

MIN_ROLLING_SIZE: Final = 200 * 1024
"""Bytes: log4cplus replaces smaller sizes by this one."""

_MTIME_LAG: Final = 0.05
"""Seconds: the kernel's file times are late by up to one tick of the clock."""

_Identity = tuple[int, int]


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


class FileHandler(BytesHandler):
    """Appends records to the file `path`; `truncate` empties it first."""

    max_bytes: float = float("inf")

    def __init__(self, path: str, *, truncate: bool = False) -> None:
        super().__init__()
        self.path = os.path.abspath(path)
        self._fd = -1
        self._open_identity: _Identity | None = None
        self._cut = False
        self._failing: set[str] = set()  # what was complained of, and has not worked since
        try:
            self._open(os.O_TRUNC if truncate else 0)
        except OSError:
            self._failing.add("written")
            complain(f"Unable to open file: {path}")

    def emit(self, record: logging.LogRecord) -> None:
        data = self.encoded(record)
        if data is None:
            return
        if self._cut:
            data = b"\n" + data
        try:
            status = self._rolled_if_due(self._current(), record.created)
            written = os.write(self._fd, data)
            if status.st_size + written > self.max_bytes:
                self._roll(status)
                self._current()
        except OSError as error:
            self._complain("written", error)
            return
        self._cut = written < len(data)
        self._failing.discard("written")

    def _rolled_if_due(self, status: os.stat_result, now: float) -> os.stat_result:
        """The file to write to, after a roll-over if one is due at this time."""
        return status

    def _rename(self, status: os.stat_result) -> None:
        """Give the file another name."""

    def close(self) -> None:
        self.acquire()
        try:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd, self._open_identity = -1, None
        finally:
            self.release()
        super().close()

    def _current(self) -> os.stat_result:
        """The status of the file at the path, which is open now."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return self._open()
        return status if _identity(status) == self._open_identity else self._open()

    def _open(self, flags: int = 0) -> os.stat_result:
        # O_NONBLOCK: the path may be a FIFO or a terminal
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | flags, 0o666)
        status = os.fstat(fd)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._open_identity = fd, _identity(status)
        return status

    def _roll(self, status: os.stat_result) -> None:
        """Rename the file that had this `status`, unless another process does so or has done so."""
        if not stat.S_ISREG(status.st_mode):
            return
        lock = -1
        try:
            lock = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _identity(os.fstat(lock)) == _identity(status) == _identity(os.stat(self.path)):
                self._rename(status)
            self._failing.discard("rolled over")
        except (BlockingIOError, FileNotFoundError):
            return
        except OSError as error:
            self._complain("rolled over", error)
        finally:
            if lock >= 0:
                os.close(lock)

    def _complain(self, what: str, error: OSError) -> None:
        if what not in self._failing:
            self._failing.add(what)
            complain(f"file cannot be {what}: {self.path}: {error.strerror}")


class RollingFileHandler(FileHandler):
    """Once it is larger than `max_bytes`, the file becomes `path.1`, the previous one `path.2`, up to `backups`."""

    def __init__(self, path: str, *, max_bytes: int = 10 << 20, backups: int = 1, truncate: bool = False) -> None:
        super().__init__(path, truncate=truncate)
        self.max_bytes = max_bytes
        self._backups = max(backups, 1)

    def _rename(self, status: os.stat_result) -> None:
        _shift_backups(self.path, self._backups)


class DailyRollingFileHandler(FileHandler):
    """When a period has passed, the period is appended to the file's name: `path.2026-11-22` (`SCHEDULES`).

    The period of a file is that of its last change, so that neither a restart nor a quiet day mixes two periods. A file
    that has the name already becomes `path.2026-11-22.1`, that one `.2`, up to `backups`.
    """

    def __init__(self, path: str, *, schedule: str = "DAILY", backups: int = 10, truncate: bool = False) -> None:
        super().__init__(path, truncate=truncate)
        self._begin, self._suffix = SCHEDULES[schedule]
        self._backups = max(backups, 1)

    def _rolled_if_due(self, status: os.stat_result, now: float) -> os.stat_result:
        if status.st_size and status.st_mtime < self._begin(now) - _MTIME_LAG:
            self._roll(status)
            return self._current()
        return status

    def _rename(self, status: os.stat_result) -> None:
        name = f"{self.path}.{time.strftime(self._suffix, time.localtime(self._begin(status.st_mtime)))}"
        if os.path.lexists(name):
            _shift_backups(name, self._backups)
        os.replace(self.path, name)


def _shift_backups(path: str, backups: int) -> None:
    """Rename `path` to `path.1`, after `path.1` to `path.2` and so on; `path.BACKUPS` is replaced."""
    free = next((number for number in range(1, backups) if not os.path.lexists(f"{path}.{number}")), backups)
    for number in range(free, 1, -1):
        os.replace(f"{path}.{number - 1}", f"{path}.{number}")
    os.replace(path, f"{path}.1")


def _midnight(date: Callable[[time.struct_time], tuple[int, int]]) -> Callable[[float], float]:
    """When the period of a time began: at local midnight of the month and day that `date` finds."""

    def begin(now: float) -> float:
        local = time.localtime(now)
        month, day = date(local)
        midnight = time.mktime((local.tm_year, month, day, 0, 0, 0, 0, 0, -1))
        return midnight if midnight <= now else midnight - 3600  # where clocks are put back at midnight

    return begin


def _step(seconds: int) -> Callable[[float], float]:
    """When the hour or the minute of a time began."""
    return lambda now: now - (now + time.localtime(now).tm_gmtoff) % seconds


_day = _midnight(lambda local: (local.tm_mon, local.tm_mday))


def _half_day(now: float) -> float:
    local = time.localtime(now)
    if local.tm_hour < 12:
        return _day(now)
    return time.mktime((local.tm_year, local.tm_mon, local.tm_mday, 12, 0, 0, 0, 0, -1))


SCHEDULES: Final[dict[str, tuple[Callable[[float], float], str]]] = {
    "MONTHLY": (_midnight(lambda local: (local.tm_mon, 1)), "%Y-%m"),
    # from Sunday on, but the name has the number of the week from Monday on, as in log4cplus
    "WEEKLY": (_midnight(lambda local: (local.tm_mon, local.tm_mday - (local.tm_wday + 1) % 7)), "%Y-%W"),
    "DAILY": (_day, "%Y-%m-%d"),
    "TWICE_DAILY": (_half_day, "%Y-%m-%d-%p"),
    "HOURLY": (_step(3600), "%Y-%m-%d-%H"),
    "MINUTELY": (_step(60), "%Y-%m-%d-%H-%M"),
}
"""For each schedule: when the period of a time began, and its format (`strftime`) in the name of a backup."""
