"""What plugin code cannot do to the process it runs in, beside raising: eat all memory, leave a copy of it behind.

A worker confines itself when it begins; the guards tell when memory has run out.
"""

from __future__ import annotations

import logging
import os
import resource
import traceback

log = logging.getLogger("dcmrecv.plugins")

RESERVE = 32 << 20
"""Bytes beyond the limit, to answer with and to end properly when plugin code has taken all there is."""


class Memory:
    """The limit of this process. Private memory counts (RLIMIT_DATA), not what is only mapped: libraries that plugins
    bring along reserve address space by gigabytes. A system that counts otherwise limits less."""

    def __init__(self) -> None:
        self.ran_out = False
        """Whether there was no memory at some time: this process should serve nobody else."""

    def limit(self, size: int) -> None:
        """From now on MemoryError is raised where more than `size` bytes would be taken."""
        self.ran_out = False
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        wanted = size + RESERVE
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (min(size, most), most))

    def release(self, error: BaseException) -> None:
        """If `error` says that memory has run out: let go of what the failed calls held, and open the reserve."""
        if not isinstance(error, MemoryError):
            return
        self.ran_out = True
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
        traceback.clear_frames(error.__traceback__)


memory = Memory()
"""One per process."""


def forbid_copies() -> None:
    """From now on a fork of this process ends at once in the copy, which would otherwise go on with the connection and
    everything else that belongs to us. Programs can be started all the same (`subprocess`)."""
    os.register_at_fork(after_in_child=lambda: os._exit(1), after_in_parent=_warn)


def _warn() -> None:
    log.error(
        "a plugin has forked this worker; the copy was ended (subprocess, or multiprocessing's spawn, can be used)"
    )
