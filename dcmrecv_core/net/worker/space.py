"""How much room is left where instances are stored (`--min-free`), asked without being held up by a hung disk."""

from __future__ import annotations

import logging
import os
import threading

log = logging.getLogger("dcmrecv.net")

PATIENCE = 0.5
"""Seconds to wait for an answer. One that comes later is no reason to reject anybody: nothing is known."""


class FreeSpace:
    """Looks at the file system of `directory`, in a worker; the supervisor never touches it."""

    def __init__(self, directory: str, minimum: int) -> None:
        self._directory = directory
        self._minimum = minimum
        self._free: int | None = None
        self._looking: threading.Thread | None = None

    def is_low(self) -> bool:
        """Whether less than the minimum is free now, as far as that can be found out."""
        if not self._minimum:
            return False
        if self._looking is None:
            self._free = None
            self._looking = threading.Thread(target=self._look, name="free space", daemon=True)
            self._looking.start()
        self._looking.join(PATIENCE)
        if self._looking.is_alive():
            log.warning("%s does not answer, its free space is not known", self._directory)
            return False
        self._looking = None
        low = self._free is not None and self._free < self._minimum
        if low:
            log.warning("%s has %d bytes free, less than --min-free", self._directory, self._free)
        return low

    def _look(self) -> None:
        try:
            status = os.statvfs(self._directory)
            self._free = status.f_bavail * status.f_frsize
        except OSError as error:  # the instances will hear of that
            log.warning("free space of %s is not known: %s", self._directory, error.strerror)
