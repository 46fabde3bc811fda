"""Log files that several processes write, and roll over, without losing a line.

* A record is one write to a file opened with O_APPEND: the kernel puts each behind all others.
* Before it writes, a process looks whether the path is still the file that it has open, and opens it anew if it has
  been rolled over, rotated or removed. One that comes too late writes to the end of the backup.
* Who rolls over holds a lock on the file (`flock` of a descriptor of its own: forked processes share the others), and
  looks again whether it is the one that was due. Nobody waits for that lock: a stopped process must not stop others.

A file that cannot be written is said on standard error, once until it can be written again, and so is one
that cannot be rolled over; nothing stops for it.
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
"""Bytes: log4cplus takes anything smaller for this."""

_MTIME_LAG: Final = 0.05
"""Seconds: the kernel's file times lag behind the clock by up to one of its ticks."""

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
        self._open_is: _Identity | None = None
        self._cut = False
        self._cannot: set[str] = set()  # what has been complained of, and did not work since
        try:
            self._open(os.O_TRUNC if truncate else 0)
        except OSError:
            self._cannot.add("written")
            complain(f"Unable to open file: {path}")

    def emit(self, record: logging.LogRecord) -> None:
        data = self.encoded(record)
        if data is None:
            return
        if self._cut:
            data = b"\n" + data
        try:
            status = self._rolled_before(self._current(), record.created)
            written = os.write(self._fd, data)
            if status.st_size + written > self.max_bytes:
                self._roll(status)
                self._current()
        except OSError as error:
            self._complain("written", error)
            return
        self._cut = written < len(data)
        self._cannot.discard("written")

    def _rolled_before(self, status: os.stat_result, now: float) -> os.stat_result:
        """The file to write to, after whatever a record at this time asks for."""
        return status

    def _move_away(self, status: os.stat_result) -> None:
        """Give the file another name."""

    def close(self) -> None:
        self.acquire()
        try:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd, self._open_is = -1, None
        finally:
            self.release()
        super().close()

    def _current(self) -> os.stat_result:
        """What is at the path, which is open now."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return self._open()
        return status if _identity(status) == self._open_is else self._open()

    def _open(self, flags: int = 0) -> os.stat_result:
        # O_NONBLOCK: a FIFO or a terminal may stand at the path
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | flags, 0o666)
        status = os.fstat(fd)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._open_is = fd, _identity(status)
        return status

    def _roll(self, status: os.stat_result) -> None:
        """Give the file that was seen with `status` another name, unless another process does or has done so."""
        if not stat.S_ISREG(status.st_mode):
            return
        lock = -1
        try:
            lock = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _identity(os.fstat(lock)) == _identity(status) == _identity(os.stat(self.path)):
                self._move_away(status)
            self._cannot.discard("rolled over")
        except (BlockingIOError, FileNotFoundError):
            return
        except OSError as error:
            self._complain("rolled over", error)
        finally:
            if lock >= 0:
                os.close(lock)

    def _complain(self, what: str, error: OSError) -> None:
        if what not in self._cannot:
            self._cannot.add(what)
            complain(f"file cannot be {what}: {self.path}: {error.strerror}")


class RollingFileHandler(FileHandler):
    """Once it is larger than `max_bytes`, the file becomes `path.1`, the one before that `path.2`, up to `backups`."""

    def __init__(self, path: str, *, max_bytes: int = 10 << 20, backups: int = 1, truncate: bool = False) -> None:
        super().__init__(path, truncate=truncate)
        self.max_bytes = max_bytes
        self._backups = max(backups, 1)

    def _move_away(self, status: os.stat_result) -> None:
        _push(self.path, self._backups)


class DailyRollingFileHandler(FileHandler):
    """When a period has passed, the file gets the period's name behind its own: `path.2026-11-22` (`SCHEDULES`).

    The period of a file is that of its last change, so that neither a restart nor a quiet day mixes two of them. A
    name that is taken goes to `path.2026-11-22.1`, that one to `.2`, up to `backups`.
    """

    def __init__(self, path: str, *, schedule: str = "DAILY", backups: int = 10, truncate: bool = False) -> None:
        super().__init__(path, truncate=truncate)
        self._begin, self._suffix = SCHEDULES[schedule]
        self._backups = max(backups, 1)

    def _rolled_before(self, status: os.stat_result, now: float) -> os.stat_result:
        if status.st_size and status.st_mtime < self._begin(now) - _MTIME_LAG:
            self._roll(status)
            return self._current()
        return status

    def _move_away(self, status: os.stat_result) -> None:
        name = f"{self.path}.{time.strftime(self._suffix, time.localtime(self._begin(status.st_mtime)))}"
        if os.path.lexists(name):
            _push(name, self._backups)
        os.replace(self.path, name)


def _push(path: str, backups: int) -> None:
    """Rename `path` to `path.1`, after `path.1` to `path.2` and so on; one behind `backups` is replaced."""
    free = next((number for number in range(1, backups) if not os.path.lexists(f"{path}.{number}")), backups)
    for number in range(free, 1, -1):
        os.replace(f"{path}.{number - 1}", f"{path}.{number}")
    os.replace(path, f"{path}.1")


def _midnight(date: Callable[[time.struct_time], tuple[int, int]]) -> Callable[[float], float]:
    """When the period of a time began, whose first month and day `date` finds; at local midnight."""

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
    # from Sunday on, though the number in the name is that of the week from Monday on: so does log4cplus
    "WEEKLY": (_midnight(lambda local: (local.tm_mon, local.tm_mday - (local.tm_wday + 1) % 7)), "%Y-%W"),
    "DAILY": (_day, "%Y-%m-%d"),
    "TWICE_DAILY": (_half_day, "%Y-%m-%d-%p"),
    "HOURLY": (_step(3600), "%Y-%m-%d-%H"),
    "MINUTELY": (_step(60), "%Y-%m-%d-%H-%M"),
}
"""For each schedule: when the period of a time began, and what `strftime` makes of that in the name of a backup."""
