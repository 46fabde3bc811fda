"""The boot of the system: time since then, and what tells it from others."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> int:
    """Nanoseconds since the boot: setting the clock does not change it, and it goes on while the machine sleeps."""
    return time.clock_gettime_ns(_CLOCK)


@cache
def boot_id() -> str:
    """8 digits for this boot of the system, with which the names of its files begin; zeros where that has no id."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return "0" * 8
