"""Standard output and standard error: one write a record, without waiting for the reader."""

from __future__ import annotations

import logging
import os
import select
import stat
import sys
from typing import Final

from dcmrecv_core.logs.records import BytesHandler

STDOUT: Final = 1
STDERR: Final = 2


class Console:
    """Writes to a descriptor that other processes share, as much of a text as can be written without waiting.

    (O_NONBLOCK would be simpler, but belongs to the open file, and so to every process that shares it.)
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        # what a pipe or socket that polls writable takes without waiting; a file takes all
        self._at_once = sys.maxsize if _is_file(fd) else select.PIPE_BUF

    def write(self, data: bytes) -> int:
        """The number of bytes that were written; raises OSError."""
        rest = data
        while rest and self._poll.poll(0):
            rest = rest[os.write(self._fd, rest[: self._at_once]) :]
        return len(data) - len(rest)


def _is_file(fd: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:
        return False


class ConsoleHandler(BytesHandler):
    """Writes a record with one system call, so that records of several processes never mix (POSIX promises it for
    pipes up to PIPE_BUF, Linux keeps it for files and terminals).

    Does not wait for the reader: records for which a pipe has no room are dropped and counted.
    """

    def __init__(self, fd: int = STDERR) -> None:
        super().__init__()
        self._console = Console(fd)
        self._stream = "stdout" if fd == STDOUT else "stderr"
        self._dropped = 0
        self._cut = False

    def emit(self, record: logging.LogRecord) -> None:
        data = self.encoded(record)
        if data is None:
            return
        if self._dropped:
            data = (self.encoded(self._said_of_dropped()) or b"") + data
        if self._cut:
            data = b"\n" + data
        try:
            written = self._console.write(data)
        except OSError:
            # The stream is closed or its disk is full: there is no place to report that. Receiving goes on.
            return
        is_whole = written == len(data)
        if written:
            self._cut = not is_whole
            self._dropped = 0
        self._dropped += not is_whole

    def _said_of_dropped(self) -> logging.LogRecord:
        text = f"{self._dropped} log records dropped: {self._stream} was not read in time"
        return logging.makeLogRecord({"name": "dcmrecv", "levelno": logging.WARNING, "msg": text})


def complain(text: str, level: str = "ERROR") -> None:
    """Report a mistake in the logging itself on standard error, as log4cplus does."""
    try:
        Console(STDERR).write(f"log4cplus:{level} {text}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        return
