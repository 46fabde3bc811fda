"""Checks the free space of the output file system (`--min-free`) in a background thread, as the disk may hang."""

from __future__ import annotations

import logging
import threading

from dcmrecv_core.storage.usable import low_space

log = logging.getLogger("dcmrecv.net")

ANSWER_TIMEOUT = 0.5
"""Seconds to wait for the file system. When it does not respond, associations are accepted."""


class FreeSpace:
    """The free space of the file system of `directory`, without a `minimum` never low; used in workers only."""

    def __init__(self, directory: str, minimum: int | None) -> None:
        self._directory = directory
        self._minimum = minimum
        self._found = ""
        self._thread: threading.Thread | None = None
        self.shortage = ""
        """Why `is_low` was true the last time."""

    def is_low(self) -> bool:
        """Whether less than the minimum is free now; False if that is unknown."""
        if self._minimum is None:
            return False
        if self._thread is None:
            self._found = ""
            self._thread = threading.Thread(target=self._read_free, name="free space", daemon=True)
            self._thread.start()
        self._thread.join(ANSWER_TIMEOUT)
        if self._thread.is_alive():
            log.warning("file system of %s does not respond; free space unknown", self._directory)
            return False
        self._thread = None
        if self._found:
            self.shortage = self._found
        return bool(self._found)

    def _read_free(self) -> None:
        try:
            self._found = low_space(self._directory, self._minimum)
        except OSError as error:  # storing will fail, with a status
            log.warning("free space of %s is not known: %s", self._directory, error.strerror)
