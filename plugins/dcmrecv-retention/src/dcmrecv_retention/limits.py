"""How much may be kept, and how long."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

_DAY = 86400 * 10**9
_SIZE = re.compile(r"(\d+)([KMGT]?)")
_PERCENT = re.compile(r"(\d{1,3})%")


class Disk(NamedTuple):
    """A size in `bytes` for all studies of the index, or how full the file system may be, in `percent`."""

    bytes: int = 0
    percent: int = 0


class Limits(NamedTuple):
    """Each None without a limit."""

    keep_days: int | None = None
    max_disk: Disk | None = None

    def oldest(self, now: int) -> int | None:
        """The time of reception, in nanoseconds since the epoch, before which studies are too old."""
        return None if self.keep_days is None else now - self.keep_days * _DAY

    def excess(self, studies: int, output: Path) -> int:
        """How many bytes are too much, if all studies together have `studies` bytes. Raises OSError."""
        if self.max_disk is None:
            return 0
        if not self.max_disk.percent:
            return max(0, studies - self.max_disk.bytes)
        space = os.statvfs(output)
        used = (space.f_blocks - space.f_bfree) * space.f_frsize
        size = used + space.f_bavail * space.f_frsize
        return max(0, used - size * self.max_disk.percent // 100)


def parse_days(text: str) -> int:
    """Raises ValueError."""
    if not text.isdecimal() or not int(text):
        raise ValueError("a number of days from 1 on expected")
    return int(text)


def parse_disk(text: str) -> Disk:
    """Raises ValueError."""
    if found := _PERCENT.fullmatch(text):
        percent = int(found[1])
        if 0 < percent < 100:
            return Disk(percent=percent)
    elif found := _SIZE.fullmatch(text.upper()):
        size = int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[found[2]]
        if size:
            return Disk(bytes=size)
    raise ValueError("a size (500G, 2T) or a part of the file system (1% to 99%) expected")
