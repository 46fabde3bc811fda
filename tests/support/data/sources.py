"""Sources that the walker reads in tests."""

from __future__ import annotations

import os


class TinySource:
    """A source whose windows are as small as the contract allows."""

    def __init__(self, data: bytes, width: int = 1) -> None:
        self._data = data
        self._width = width
        self.size = len(data)

    def window(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + max(length, self._width)]


def unnamed_file(data: bytes = b"") -> int:
    fd = os.memfd_create("data-set")
    os.write(fd, data)
    return fd
