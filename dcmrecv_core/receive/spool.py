"""The bytes of one data set while they come: first in a buffer that is used again and again, then in an unnamed file.

Small data sets stay in memory here: the publisher writes them in one piece. Large ones go to a file on the output file
system as they come, after preamble and File Meta Information, so that publishing them is only a link.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from dcmrecv_core.api.errors import StorageError
from dcmrecv_core.dataset.digest import Digest, digest_of
from dcmrecv_core.dataset.sources import ByteSource, FileSource, MemorySource
from dcmrecv_core.storage.content import write_all


class TooLargeError(StorageError):
    """A data set is larger than the receiver's limit."""


BeginFile = Callable[[memoryview], tuple[int, bytes]]
"""Opens the file for a data set that does not fit into memory. Gets what is in memory, which contains the data set's
UIDs; returns the descriptor, which the spool then owns, and what comes before the data set in the file: preamble and
File Meta Information. Raises OSError."""

_NOTHING = memoryview(b"")


class Spool:
    """One data set at a time; `close` makes room for the next. `largest` is the maximum size of a data set, None for no
    limit."""

    __slots__ = ("_buffer", "_largest", "data", "fd", "prefix_length", "size")

    def __init__(self, buffer: bytearray, largest: int | None = None) -> None:
        # so a data set that fits into memory need not be compared with `largest`
        self._buffer = memoryview(buffer)[:largest]
        self._largest = largest
        self.data = _NOTHING
        """All of the data set, or its beginning if it is in a file."""
        self.size = 0
        """Length of the data set so far."""
        self.fd: int | None = None
        """The file with prefix and data set; None while all is in memory."""
        self.prefix_length = 0
        """Length of what comes before the data set in the file."""

    def append(self, fragments: Sequence[memoryview], begin_file: BeginFile, *, last: bool = False) -> None:
        """Copy the next bytes of the data set. If the `last` fragment is the whole data set, it is not copied and must
        stay unchanged until `close`.

        Raises OSError if the file cannot be created or written, TooLargeError if the data set becomes too large; the
        spool can then only be closed.
        """
        length = sum(map(len, fragments))
        size = self.size
        if self.fd is None and size + length <= len(self._buffer):
            if last and not size and len(fragments) == 1:
                self.data = fragments[0]
                self.size = length
                return
            buffer = self._buffer
            for fragment in fragments:
                end = size + len(fragment)
                buffer[size:end] = fragment
                size = end
            self.data = buffer[:size]
            self.size = size
            return
        if self._largest is not None and size + length > self._largest:
            raise TooLargeError(f"Data set is larger than {self._largest} bytes")
        if self.fd is None:
            self.fd, prefix = begin_file(self.data)
            self.prefix_length = len(prefix)
            write_all(self.fd, (prefix, self.data))
        write_all(self.fd, fragments)
        self.size += length

    def adopt(self, fd: int, offset: int, size: int) -> None:
        """Instead of `append`: the data set is in a file already, `size` bytes from `offset` on. Owns `fd` from now."""
        self.fd, self.prefix_length, self.size = fd, offset, size

    def source(self) -> ByteSource:
        """The data set as a source for the walker; valid until `close`."""
        if self.fd is None:
            return MemorySource(self.data)
        return FileSource(self.fd, self.prefix_length, self.size, self.data)

    def close(self) -> None:
        """Forget the data set and close its file; an unnamed one is gone unless it was linked."""
        fd, self.fd = self.fd, None
        self.data = _NOTHING
        self.size = self.prefix_length = 0
        if fd is not None:
            os.close(fd)


class DigestingSpool(Spool):
    """Takes the digest of what goes to a file while it comes, so that it is not read again."""

    __slots__ = ("_digest",)

    def __init__(self, buffer: bytearray, largest: int | None = None) -> None:
        super().__init__(buffer, largest)
        self._digest: Digest | None = None

    def append(self, fragments: Sequence[memoryview], begin_file: BeginFile, *, last: bool = False) -> None:
        super().append(fragments, begin_file, last=last)
        if self.fd is None:
            return
        if self._digest is None:
            self._digest = Digest()
            self._digest.update(self.data)
        for fragment in fragments:
            self._digest.update(fragment)

    def digest(self) -> str:
        """Of the whole data set. Raises OSError if it was adopted, and cannot be read."""
        return digest_of(self.source()) if self._digest is None else self._digest.text()

    def close(self) -> None:
        super().close()
        self._digest = None
