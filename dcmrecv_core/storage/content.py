"""A DICOM file in the making: File Meta Information and the pieces that the data set consists of.

The pieces are received bytes (in memory, or a range of the spooled file), and bytes with which a plugin replaced some.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from dcmrecv_core.dataset.sources import ByteSource, FileSource, MemorySource
from dcmrecv_core.storage.temporary import Temporary

_CHUNK = 1 << 20
_IOV_MAX = 1024
"""Buffers that one writev takes (Linux UIO_MAXIOV, the minimum of most other systems)."""

_SENDFILE_MAX = 0x7FFFF000  # the most that one call moves on Linux


class FileRange(NamedTuple):
    """Bytes `offset` to `offset + length` of an open file."""

    fd: int
    offset: int
    length: int


Piece = bytes | memoryview | FileRange


def piece_length(piece: Piece) -> int:
    return piece.length if isinstance(piece, FileRange) else len(piece)


def write_pieces(fd: int, pieces: Sequence[Piece]) -> None:
    """Write all pieces to `fd`, in as few calls as possible; raises OSError."""
    memory: list[bytes | memoryview] = []
    for piece in pieces:
        if isinstance(piece, FileRange):
            write_all(fd, memory)
            memory = []
            _copy_range(fd, piece)
        else:
            memory.append(piece)
    write_all(fd, memory)


def write_all(fd: int, chunks: Sequence[bytes | memoryview]) -> None:
    """Call writev until all is written: in portions that the system takes, and again where it wrote less."""
    left = sum(map(len, chunks))
    while left:
        written = os.writev(fd, chunks[:_IOV_MAX])
        if not written:
            raise OSError(errno.EIO, "The file takes no more bytes")
        left -= written
        if left:
            chunks = _without_first(chunks, written)


def _without_first(chunks: Sequence[bytes | memoryview], count: int) -> Sequence[bytes | memoryview]:
    """The chunks without their first `count` bytes."""
    for index, chunk in enumerate(chunks):
        if count < len(chunk):
            return [memoryview(chunk)[count:], *chunks[index + 1 :]]
        count -= len(chunk)
    return ()


def _copy_range(target: int, piece: FileRange) -> None:
    offset, left = piece.offset, piece.length
    while left:
        copied = os.sendfile(target, piece.fd, offset, min(left, _SENDFILE_MAX))
        if not copied:
            raise OSError(errno.EIO, "The spooled data set is shorter than what was written")
        offset += copied
        left -= copied


def source_of(pieces: Sequence[Piece]) -> ByteSource:
    """The pieces as a source for the walker."""
    sources = [_one_source(piece) for piece in pieces]
    return sources[0] if len(sources) == 1 else _JoinedSource(sources)


def _one_source(piece: Piece) -> ByteSource:
    if isinstance(piece, FileRange):
        return FileSource(piece.fd, piece.offset, piece.length)
    return MemorySource(memoryview(piece))


class _JoinedSource:
    """Several sources, one after the other."""

    def __init__(self, sources: Sequence[ByteSource]) -> None:
        self._sources = sources
        self.size = sum(source.size for source in sources)

    def window(self, offset: int, length: int) -> bytes | memoryview:
        parts: list[bytes | memoryview] = []
        for source in self._sources:
            if offset < source.size:
                window = source.window(offset, min(length, source.size - offset))
                if not parts and len(window) >= length:
                    return window
                parts.append(window[:length])
                length -= len(parts[-1])
                if not length:
                    break
            offset = max(0, offset - source.size)
        return b"".join(parts)


class _Reader(io.RawIOBase):
    """The pieces as one seekable stream."""

    name = ""  # pydicom reads it of a buffered reader

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._size = sum(map(piece_length, pieces))
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        start = self._position
        for piece in self._pieces:
            length = piece_length(piece)
            if start < length:
                read = self._read_piece(piece, start, memoryview(buffer)[: length - start])
                self._position += read
                return read
            start -= length
        return 0

    @staticmethod
    def _read_piece(piece: Piece, start: int, buffer: memoryview) -> int:
        if isinstance(piece, FileRange):  # straight into the buffer: it may be a whole instance
            return os.preadv(piece.fd, [buffer], piece.offset + start)
        buffer[:] = memoryview(piece)[start : start + len(buffer)]
        return len(buffer)


class FileContent:
    """A complete DICOM file: `prefix` (preamble and File Meta Information) and the pieces of the data set.

    `ready` is a temporary file with exactly this content, because the data set was spooled into it.
    """

    __slots__ = ("_ready", "pieces", "prefix")

    def __init__(self, prefix: bytes, pieces: Sequence[Piece], ready: Temporary | None = None) -> None:
        self.prefix = prefix
        self.pieces = pieces
        self._ready = ready

    @property
    def size(self) -> int:
        """Length of the data set, in bytes."""
        return sum(map(piece_length, self.pieces))

    def file(self) -> Temporary | None:
        ready = self._ready
        if ready is None or ready.published:
            return None
        if ready.lost:  # it must not even be copied
            raise OSError(errno.EIO, "The spooled data set could not be flushed")
        return ready

    def write_to(self, fd: int) -> None:
        write_pieces(fd, (self.prefix, *self.pieces))

    def open(self) -> BinaryIO:
        """The whole file as a readable, seekable stream."""
        return io.BufferedReader(_Reader((self.prefix, *self.pieces)), _CHUNK)
