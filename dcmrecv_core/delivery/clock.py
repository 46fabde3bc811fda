"""The clock of deliveries: time since the boot, which goes on while the machine sleeps and is never set back.

A test can turn it on, in all processes of a receiver at once, by a file that the environment names.
"""

from __future__ import annotations

import os

from dcmrecv_core.storage.journals.boot import now as now_since_boot

SECOND = 10**9

TURNED_BY = "DCMRECV_CLOCK_TURNED_BY"
"""The environment variable with the path of a file: how many seconds the clock is turned on. Only for tests."""


def now() -> int:
    """Nanoseconds."""
    return now_since_boot() + _turned_by()


def _turned_by() -> int:
    path = os.environ.get(TURNED_BY)
    if path is None:
        return 0
    try:
        with open(path) as file:
            return int(float(file.read()) * SECOND)
    except (OSError, ValueError):
        return 0
