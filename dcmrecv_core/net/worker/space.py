"""Checks the free space of the output file system (`--min-free`) before an association is accepted."""

from __future__ import annotations

import logging

from dcmrecv_core.storage.usable import DiskQuestion, low_space

log = logging.getLogger("dcmrecv.net")


class FreeSpace:
    """The free space of the file system of `directory`, without a `minimum` never low; used in workers only."""

    def __init__(self, directory: str, minimum: int | None) -> None:
        self._directory = directory
        self._minimum = minimum
        self._question = DiskQuestion(self._read_free)
        self.shortage = ""
        """Why `is_low` was true the last time."""

    def is_low(self) -> bool:
        """Whether less than the minimum is free now; False if that is unknown."""
        if self._minimum is None:
            return False
        answer = self._question.ask()
        if answer is None:
            log.warning("file system of %s does not respond; free space unknown", self._directory)
        elif answer:
            self.shortage = answer
        return bool(answer)

    def _read_free(self) -> str:
        try:
            return low_space(self._directory, self._minimum)
        except OSError as error:  # storing will fail, with a status
            log.warning("free space of %s is not known: %s", self._directory, error.strerror)
            return ""
