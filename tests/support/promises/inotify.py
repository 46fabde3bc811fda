"""Changes in one directory, as the kernel reports them (Linux inotify)."""

from __future__ import annotations

import ctypes
import os
import select
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

MODIFY, MOVED_TO, CREATE = 0x2, 0x80, 0x100
OVERFLOW = 0x4000


class Watch:
    """New names in a directory, and writes to files that have one already."""

    def __init__(self, directory: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        watch = libc.inotify_add_watch(self._fd, os.fsencode(directory), MODIFY | MOVED_TO | CREATE)
        if self._fd < 0 or watch < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(directory))

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def events(self, seconds: float) -> Iterator[tuple[int, str]]:
        """Mask and name of all events; waits for the first, `seconds` at most."""
        select.select([self._fd], [], [], seconds)
        with suppress(BlockingIOError):
            while True:
                data = os.read(self._fd, 1 << 16)
                while data:
                    _, mask, _, length = struct.unpack_from("iIII", data)
                    assert not mask & OVERFLOW, "too much has happened"
                    yield mask, data[16 : 16 + length].rstrip(b"\0").decode()
                    data = data[16 + length :]
