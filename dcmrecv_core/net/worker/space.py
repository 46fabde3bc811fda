"""Checks the free space of the output file system (`--min-free`) in a background thread, as the disk may hang."""

from __future__ import annotations

import logging
import os
import threading

log = logging.getLogger("dcmrecv.net")

ANSWER_TIMEOUT = 0.5
"""Seconds to wait for the file system. When it does not respond, associations are accepted."""


class FreeSpace:
    """The free space of the file system of `directory`, without a `minimum` never low; used in workers only."""

    def __init__(self, directory: str, minimum: int | None) -> None:
        self._directory = directory
        self._minimum = minimum
        self._free: int | None = None
        self._thread: threading.Thread | None = None
        self.shortage = ""
        """Why `is_low` was true the last time."""

    def is_low(self) -> bool:
        """Whether less than the minimum is free now; False if that is unknown."""
        if self._minimum is None:
            return False
        if self._thread is None:
            self._free = None
            self._thread = threading.Thread(target=self._read_free, name="free space", daemon=True)
            self._thread.start()
        self._thread.join(ANSWER_TIMEOUT)
        if self._thread.is_alive():
            log.warning("file system of %s does not respond; free space unknown", self._directory)
            return False
        self._thread = None
        low = self._free is not None and self._free < self._minimum
        if low:
            self.shortage = f"{self._directory} has {self._free} bytes free, less than --min-free"
        return low

    def _read_free(self) -> None:
        try:
            status = os.statvfs(self._directory)
            self._free = status.f_bavail * status.f_frsize
        except OSError as error:  # storing will fail, with a status
            log.warning("free space of %s is not known: %s", self._directory, error.strerror)
