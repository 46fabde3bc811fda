"""What stands under a name already: whose file it is, whether it is whole, whether it holds the same bytes.

Nothing is believed but the file itself: its File Meta Information says which instance it is, and a walk through its
data set whether all of it is there. A link is not followed and a FIFO is not waited for, whoever has put it there.
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
from dcmrecv_core.dataset.sources import FileSource, only_zeros
from dcmrecv_core.storage.directories import storage_error
from dcmrecv_core.storage.file_meta import meta_values

_CHUNK = 1 << 18
_LONGEST_META = 1 << 16
"""What File Meta Information may take here: ours has some 300 bytes. A file with more counts as unreadable."""

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CLOSED_TO_US = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO, errno.ENODEV)
"""What open says of something that we are not to read, now or later; else nothing is known of it."""

_SOP_INSTANCE_UID = 0x0003
_TRANSFER_SYNTAX_UID = 0x0010


class Identity(NamedTuple):
    """What File Meta Information says: UIDs without padding, and where the data set begins."""

    sop_instance_uid: bytes
    transfer_syntax_uid: bytes
    offset: int


class Comparable(Protocol):
    """What a file is compared with: one that is about to be stored."""

    @property
    def prefix(self) -> bytes:
        """What precedes the data set."""

    @property
    def size(self) -> int:
        """Length of the data set."""

    def open(self) -> BinaryIO:
        """The whole file."""


def identity_of(head: bytes) -> Identity | None:
    """Of the beginning of a file; None if that is no File Meta Information, or if no SOP Instance UID is in it."""
    try:
        values, offset = meta_values(head)
    except ValueError:
        return None
    # nothing but padding is taken away: two UIDs that differ otherwise are two instances
    instance = values.get(_SOP_INSTANCE_UID, b"").rstrip(b"\0 ")
    syntax = values.get(_TRANSFER_SYNTAX_UID, b"").rstrip(b"\0 ")
    return Identity(instance, syntax, offset) if instance else None


class Existing:
    """What has a name. It is opened when more is asked of it than its `status`; leave its `with` block to close it."""

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
        """As the file itself says; None if it is no regular file, not readable, or no DICOM file. Raises OSError if
        that cannot be found out now."""
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

    def holds(self, content: Comparable) -> bool:
        """Whether it is the same instance with the data set of `content`, byte for byte, in the same transfer syntax.

        File Meta Information otherwise does not count: it tells who received and who sent, not what. The instance does:
        a data set need not have its UID in it.
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
                return self._goes_on_like(received, theirs.offset)
        except OSError:
            return False  # whoever writes or reads next finds out what is wrong with the disk, and says so

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
        """Whoever wrote it may have done without. Raises OSError."""
        if self._fd >= 0:
            os.fsync(self._fd)

    def _goes_on_like(self, received: BinaryIO, position: int) -> bool:
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
            if not only_zeros(FileSource(self._fd, 0, self.status.st_size), offset + len(theirs)):
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
                    self._identity = None  # unreadable, as a directory is
            self._opened = True
        return self._identity

    def _open(self) -> None:
        if not stat.S_ISREG(self.status.st_mode):
            return
        try:
            fd = os.open(self._name, _FLAGS, dir_fd=self._directory_fd)
        except FileNotFoundError:
            return  # it has lost its name, which whoever tries to replace it will see
        except OSError as error:
            if error.errno not in _CLOSED_TO_US:
                raise
            return
        self._fd = fd
        self.status = os.fstat(fd)  # of what we read, whatever had the name a moment ago
        if not stat.S_ISREG(self.status.st_mode):
            self._fd = -1
            os.close(fd)


def look(name: str, directory_fd: int | None = None) -> Existing | None:
    """What has that name in the directory, None if nothing has. Raises StorageError if that cannot be said."""
    try:
        return Existing(name, directory_fd, os.stat(name, dir_fd=directory_fd, follow_symlinks=False))
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise storage_error(error, "Cannot look up file") from error
