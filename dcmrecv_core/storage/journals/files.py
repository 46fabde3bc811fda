"""The journal in files: a worker appends its records to a file of its own.

So none waits for a lock; a worker holds a lock on its file while it may still write. The file is allocated as a whole
before the first record: when the disk is full, that is known before an instance gets its name. After the last record
it has zeros. Nothing is flushed here, unless that is asked for: another process does it for all workers (delivery/).
"""

from __future__ import annotations

import errno
import os

from dcmrecv_core.api.errors import StorageError
from dcmrecv_core.storage.directories import storage_error
from dcmrecv_core.storage.hidden import is_locked
from dcmrecv_core.storage.journals.boot import boot_id, now
from dcmrecv_core.storage.journals.records import TEXTS, Kind, encode

DIRECTORY = "journal"
"""In the state directory."""

SUFFIX = ".journal"
FILE_SIZE = 1 << 20
"""Bytes of a file: some 2000 records. When it is full, its writer starts the next one."""

RESERVE = 16 << 10
"""Bytes that must be free before an instance is stored: of the texts in a record only a path may be long, and that has
at most 4096 bytes."""


class JournalWriter:
    """Appends to this process's files in `directory`, which is made for the first of them."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._fd: int | None = None
        self._room = 0
        self._full: int | None = None
        """The file before this one, kept locked until this one has a record: until then its last association counts as
        open."""
        self._named = False
        self._association: bytes | None = None

    def make_room(self) -> None:
        """Make sure that a record can be written. Raises StorageError."""
        if self._room < RESERVE:
            try:
                self._open()
            except OSError as error:
                raise storage_error(error, "No room in the state directory") from error

    def append(self, record: bytes, association: bytes = b"", *, flush: bool = False) -> None:
        """Write a record of this association with one system call; with `flush` it is durable afterwards. Raises
        StorageError."""
        if len(record) > self._room:
            self.make_room()
        if self._fd is None or len(record) > self._room:
            raise StorageError("The journal cannot take so long a location")
        try:
            _write(self._fd, record)
            if flush:
                self._flush(self._fd)
        except OSError as error:
            self._room = 0  # a part may be written: the next record goes to another file
            raise storage_error(error, "Cannot write to the journal") from error
        self._room -= len(record)
        self._association = association
        if self._full is not None:
            os.close(self._full)
            self._full = None

    def end_association(self) -> None:
        """Note that the association of the last record, if any, has ended. Raises nothing: the study clock waits longer
        without it."""
        if self._association and self._fd is not None:
            texts = (b"",) * (TEXTS - 1) + (self._association,)
            record = encode(Kind.ASSOCIATION_ENDED, 0, now(), 0, 0, texts)
            if len(record) <= self._room:
                try:
                    _write(self._fd, record)
                    self._room -= len(record)
                except OSError:
                    self._room = 0
        self._association = None

    def close(self) -> None:
        for fd in (self._fd, self._full):
            if fd is not None:
                os.close(fd)
        self._fd = self._full = None
        self._room = 0

    def _flush(self, fd: int) -> None:
        os.fdatasync(fd)
        if not self._named:
            directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
            self._named = True

    def _open(self) -> None:
        os.makedirs(self._directory, 0o700, exist_ok=True)
        while (fd := _new_file(f"{self._directory}/{boot_id()}-{os.urandom(8).hex()}{SUFFIX}")) is None:
            continue
        if self._full is not None:
            os.close(self._full)
        self._full, self._fd = self._fd, fd
        self._room = FILE_SIZE
        self._named = False


def _new_file(path: str) -> int | None:
    """The descriptor of a new file that is allocated and locked; None if its reader has just taken it for the one of a
    dead process. Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if is_locked(fd) or not os.fstat(fd).st_nlink:
            os.close(fd)
            return None
        os.posix_fallocate(fd, 0, FILE_SIZE)
    except BaseException:
        os.unlink(path)
        os.close(fd)
        raise
    return fd


def _write(fd: int, record: bytes) -> None:
    if os.write(fd, record) != len(record):  # its place is allocated: the disk fails
        raise OSError(errno.EIO, os.strerror(errno.EIO))
