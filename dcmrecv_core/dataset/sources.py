"""Where the walker reads a data set from: memory, a spooled file, or the inflated view of either.

Everything is read through windows. A file is never mapped, because an I/O error on a mapped page kills the process and
one from pread is an exception. Deflated data are never inflated as a whole.
"""

from __future__ import annotations

import errno
import os
import zlib
from typing import Protocol

from dcmrecv_core.api.errors import DataSetError

UNKNOWN_SIZE = 1 << 62
"""`size` of inflated data until their end is reached; more than any offset."""

_FILE_WINDOW = 16 * 1024
_INFLATED_WINDOW = 256 * 1024
_FILLERS = (b"\0", b"\xff", b" ")
_DEFLATED_CHUNK = 16 * 1024  # small: zlib copies what it has not consumed yet at each step


class ByteSource(Protocol):
    """Bytes of one data set, addressed by offsets from its start."""

    @property
    def size(self) -> int:
        """Length in bytes, `UNKNOWN_SIZE` while it is not known."""

    def window(self, offset: int, length: int) -> bytes | memoryview:
        """The bytes from `offset` on: `length` or more of them, fewer only where the data end.

        Valid until the next call. Raises OSError if they cannot be read, DataSetError if they cannot be inflated.
        """


class MemorySource:
    """A data set that is in memory as a whole."""

    __slots__ = ("size", "view")

    def __init__(self, view: memoryview) -> None:
        self.view = view
        self.size = len(view)

    def window(self, offset: int, length: int) -> memoryview:
        return self.view[offset:]


class FileSource:
    """`size` bytes of an open file from `start` on; `head` is a copy in memory of the first ones, if there is one."""

    __slots__ = ("_fd", "_head", "_start", "size")

    def __init__(self, fd: int, start: int, size: int, head: memoryview | None = None) -> None:
        self._fd = fd
        self._start = start
        self._head = memoryview(b"") if head is None else head
        self.size = size

    def window(self, offset: int, length: int) -> bytes | memoryview:
        if offset + length <= len(self._head):
            return self._head[offset:]
        wanted = min(max(length, _FILE_WINDOW), self.size - offset)
        if wanted <= 0:
            return b""
        data = os.pread(self._fd, wanted, self._start + offset)
        # Linux reads at most 2 GiB less a page at once.
        while len(data) < wanted:
            more = os.pread(self._fd, wanted - len(data), self._start + offset + len(data))
            if not more:
                raise OSError(errno.EIO, "The spooled data set is shorter than what was written")
            data += more
        return data


class InflatedSource:
    """The inflated view of a deflated data set (PS3.5 A.5: a raw RFC 1951 stream, perhaps padded to even length).

    Holds two windows at most: the current one, and the first one, where identifying attributes are. A step back to any
    other offset inflates from the start again.
    """

    def __init__(self, deflated: ByteSource) -> None:
        self._deflated = deflated
        self._head = b""
        self.size = UNKNOWN_SIZE
        self.trailing = 0
        """Bytes after the deflated stream, known when `size` is."""
        self._rewind()

    def _rewind(self) -> None:
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._consumed = 0
        self._start = 0
        self._window = b""

    def window(self, offset: int, length: int) -> memoryview:
        if offset + length <= len(self._head) or len(self._head) == self.size:
            return memoryview(self._head)[offset:]
        if offset < self._start:
            self._rewind()
        while offset >= self._start + len(self._window):
            if not self._advance():
                return memoryview(b"")
        view = memoryview(self._window)[offset - self._start :]
        return view if len(view) >= length else self._gather(offset, length)

    def _gather(self, offset: int, length: int) -> memoryview:
        """A window made of several, for a value that crosses their borders or is larger than one."""
        parts = [self._window[offset - self._start :]]
        gathered = len(parts[0])
        while gathered < length and self._advance():
            parts.append(self._window)
            gathered += len(self._window)
        self._start = offset
        self._window = b"".join(parts)
        return memoryview(self._window)

    def _advance(self) -> bool:
        """Replace the window by the next one; at the end of the stream keep the last one and return False."""
        inflated = self._inflate()
        if not inflated:
            self.size = self._start + len(self._window)
            self.trailing = self._deflated.size - self._consumed + len(self._inflater.unused_data)
            return False
        self._start += len(self._window)
        self._window = inflated
        if not self._head:
            self._head = inflated
        return True

    def _inflate(self) -> bytes:
        inflater = self._inflater
        while not inflater.eof:
            chunk: bytes | memoryview = inflater.unconsumed_tail
            if not chunk:
                chunk = self._deflated.window(self._consumed, _DEFLATED_CHUNK)[:_DEFLATED_CHUNK]
                self._consumed += len(chunk)
            try:
                # Without a chunk this still returns what zlib had no room to return before.
                inflated = inflater.decompress(chunk, _INFLATED_WINDOW)
            except zlib.error as error:
                raise DataSetError(f"Deflated data broken near offset {self._consumed}") from error
            if inflated:
                return inflated
            if not chunk and not inflater.eof:
                raise DataSetError(f"Deflated data end at offset {self._consumed} without end mark")
        return b""


def only(byte: bytes, source: ByteSource, position: int) -> bool:
    """Whether only this byte follows, or nothing. Raises OSError, DataSetError."""
    while chunk := bytes(source.window(position, 1)[:65536]):
        if chunk.strip(byte):
            return False
        position += len(chunk)
    return True


def filler_length(source: ByteSource, position: int, *, little: bool = True) -> int:
    """How many bytes follow, if they are nothing but filler: all 00H, all FFH, all blanks, or one line end; else 0.
    Raises OSError, DataSetError.

    A single byte is no filler if it may be the first one of a header that is cut off (20H of group 0020H, or 00H in big
    endian), as an odd length of the data set shows.
    """
    first = bytes(source.window(position, 3)[:3])
    if first == b"\r\n":
        return 2
    byte = first[:1]
    if byte not in _FILLERS or not only(byte, source, position):
        return 0
    count = source.size - position
    may_be_cut_off = count == 1 and source.size % 2 and not (little and byte == b"\0")
    return 0 if may_be_cut_off else count
