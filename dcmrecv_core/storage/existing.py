"""An existing file under a name: which instance it is, whether it is whole, whether it has the same bytes.

Only the file itself counts: its File Meta Information says which instance it is, and a walk through its data set
whether it is whole. A link is not followed, and a FIFO is not waited for.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from types import TracebackType
from typing import BinaryIO, NamedTuple, Protocol

from dcmrecv_core.api.errors import DataSetError
from dcmrecv_core.dataset.encodings import encoding_of
from dcmrecv_core.dataset.scan import scan
from dcmrecv_core.dataset.sources import FileSource, only
from dcmrecv_core.storage.directories import storage_error
from dcmrecv_core.storage.file_meta import meta_values

_CHUNK = 1 << 18
_LONGEST_META = 1 << 16
"""Largest File Meta Information that is read here; ours has some 300 bytes. A file with more counts as unreadable."""

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_UNREADABLE = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO, errno.ENODEV)
"""Errors of open that stay: the file is not for us to read. After any other error nothing is known of it."""

_SOP_INSTANCE_UID = 0x0003
_TRANSFER_SYNTAX_UID = 0x0010


class Identity(NamedTuple):
    """UIDs of File Meta Information, without padding, and the offset of the data set."""

    sop_instance_uid: bytes
    transfer_syntax_uid: bytes
    offset: int


class Comparable(Protocol):
    """A new file, with which an existing one is compared."""

    @property
    def prefix(self) -> bytes:
        """What precedes the data set."""

    @property
    def size(self) -> int:
        """Length of the data set."""

    def open(self) -> BinaryIO:
        """The whole file."""


def identity_of(head: bytes) -> Identity | None:
    """Reads the beginning of a file; None if it is not File Meta Information or has no SOP Instance UID."""
    try:
        values, offset = meta_values(head)
    except ValueError:
        return None
    # only padding is removed: two UIDs that differ in anything else are two instances
    instance = values.get(_SOP_INSTANCE_UID, b"").rstrip(b"\0 ")
    syntax = values.get(_TRANSFER_SYNTAX_UID, b"").rstrip(b"\0 ")
    return Identity(instance, syntax, offset) if instance else None


class Existing:
    """What has a name. It is opened when more than its `status` is needed; leave its `with` block to close it."""

    __slots__ = ("_directory_fd", "_fd", "_identity", "_name", "_opened", "status")

    def __init__(self, name: str, directory_fd: int | None, status: os.stat_result) -> None:
        self.status = status
        self._name = name
        self._directory_fd = directory_fd
        self._opened = False
        self._fd = -1
        self._identity: Identity | None = None

    def __enter__(self) -> Existing:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._fd >= 0:
            with suppress(OSError):  # nothing was written through it
                os.close(self._fd)
            self._fd = -1

    @property
    def sop_instance_uid(self) -> bytes | None:
        """According to the file itself; None if it is not a regular file, not readable, or not a DICOM file. Raises
        OSError if that cannot be found out now."""
        identity = self._read()
        return None if identity is None else identity.sop_instance_uid

    @property
    def prefix(self) -> bytes:
        """What precedes the data set, if it is a DICOM file. Raises OSError."""
        identity = self._read()
        return b"" if identity is None else os.pread(self._fd, identity.offset, 0)

    @property
    def size(self) -> int:
        """Length of the data set, in bytes. Raises OSError."""
        return self.status.st_size - len(self.prefix)

    def open(self) -> BinaryIO:
        """The whole of a regular file; its position is that of all others of the same. Raises OSError."""
        self._read()
        return os.fdopen(os.dup(self._fd), "rb")

    def has_name(self) -> bool:
        """Whether the file that was read still has the name. Raises OSError."""
        try:
            status = os.stat(self._name, dir_fd=self._directory_fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(status, self.status)

    def holds(self, content: Comparable) -> bool:
        """Whether it is the same instance, in the same transfer syntax, with the same data set, byte for byte.

        The SOP Instance UID of File Meta Information counts, because a data set need not have it. The rest does not
        count: it says who sent and who received.
        """
        ours = identity_of(content.prefix)
        theirs = self._read()
        if ours is None or theirs is None or ours[:2] != theirs[:2]:
            return False
        if self.status.st_size - theirs.offset != content.size:
            return False
        try:
            with content.open() as received:
                received.seek(len(content.prefix))
                return self._continues_like(received, theirs.offset)
        except OSError:
            return False  # the next write or read will fail too, and report the fault

    def is_whole(self, content: Comparable) -> bool:
        """Whether nothing of its data set is missing, as far as that can be told from another one of the same instance,
        `content`. Raises OSError if that cannot be found out.

        It has to be one that can be walked to its end; if its encoding is not known, one that is not shorter. A file
        that was cut between two elements can be walked as well, and so can one whose last blocks have never reached the
        disk, for zeros after an element count as padding: so, in the same transfer syntax, it must not be a mere
        beginning of `content`.
        """
        ours = identity_of(content.prefix)
        identity = self._read()
        if identity is None:
            return False
        if ours is not None and ours[:2] == identity[:2] and self._is_beginning_of(content, identity.offset):
            return False
        size = self.status.st_size - identity.offset
        encoding = encoding_of(identity.transfer_syntax_uid.decode("latin-1"))
        if encoding is None:
            return size >= max(content.size, 1)
        try:
            scan(FileSource(self._fd, identity.offset, size), encoding, whole=True)
        except DataSetError:
            return False
        return True

    def flush(self) -> None:
        """Flush it, because its writer may not have done so. Raises OSError."""
        if self._fd >= 0:
            os.fsync(self._fd)

    def _continues_like(self, received: BinaryIO, position: int) -> bool:
        """Whether both have the same bytes from here on; they have the same length."""
        while chunk := received.read(_CHUNK):
            if os.pread(self._fd, len(chunk), position) != chunk:
                return False
            position += len(chunk)
        return True

    def _is_beginning_of(self, content: Comparable, offset: int) -> bool:
        """Whether the data set from `offset` on ends, or goes on with zeros only, where `content` goes on with data."""
        with content.open() as received:
            received.seek(len(content.prefix))
            while True:
                ours, theirs = received.read(_CHUNK), os.pread(self._fd, _CHUNK, offset)
                if ours != theirs:
                    break
                if not ours:
                    return False
                offset += len(ours)
            theirs = theirs.rstrip(b"\0")
            if not ours.startswith(theirs):
                return False
            if not only(b"\0", FileSource(self._fd, 0, self.status.st_size), offset + len(theirs)):
                return False
            ours = ours[len(theirs) :]
            while ours:
                if ours.strip(b"\0"):
                    return True
                ours = received.read(_CHUNK)
        return False

    def _read(self) -> Identity | None:
        if not self._opened:
            self._open()
            if self._fd >= 0:
                try:
                    self._identity = identity_of(os.pread(self._fd, _LONGEST_META, 0))
                except OSError:
                    self._identity = None  # unreadable, like a directory
            self._opened = True
        return self._identity

    def _open(self) -> None:
        if not stat.S_ISREG(self.status.st_mode):
            return
        try:
            fd = os.open(self._name, _FLAGS, dir_fd=self._directory_fd)
        except FileNotFoundError:
            return  # it has lost its name; an attempt to replace it will find that out
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
            return
        self._fd = fd
        self.status = os.fstat(fd)  # of the file that is read, which may not be the one found before
        if not stat.S_ISREG(self.status.st_mode):
            self._fd = -1
            os.close(fd)


def find_existing(name: str, directory_fd: int | None = None) -> Existing | None:
    """What has that name in the directory; None if the name is free. Raises StorageError if that is not known."""
    try:
        return Existing(name, directory_fd, os.stat(name, dir_fd=directory_fd, follow_symlinks=False))
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise storage_error(error, "Cannot look up file") from error
