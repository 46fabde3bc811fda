"""The journal of what was stored: records, and the file to which a worker appends them.

A worker has a file of its own, so none waits for a lock, and holds a lock on it while it may still write. The file is
allocated as a whole before the first record: when the disk is full, that is known before an instance gets its name.

    file      records, then zeros
    record    magic, CRC-32 of the body, length of the body (4 bytes each, little endian), body
    body      `_FIXED`, then the texts, whose lengths are in it; what follows them is the digest

A reader has to expect a record that is torn (the power failed), in the middle too, and one that is not complete
yet (it is being written): both fail their checksum. Nothing is flushed here, unless that is asked for: another process
does it for all workers (delivery/).
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from enum import IntEnum
from functools import cache
from pathlib import Path
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from dcmrecv_core.api.errors import StorageError
from dcmrecv_core.storage.directories import storage_error
from dcmrecv_core.storage.hidden import is_locked

DIRECTORY = "journal"
"""In the state directory."""

SUFFIX = ".journal"
FILE_SIZE = 1 << 20
"""Bytes of a file: some 2000 records. When it is full, its writer starts the next one."""

RESERVE = 16 << 10
"""Bytes that must be free before an instance is stored: of the texts in a record only a path may be long, and that has
at most 4096 bytes."""

MAGIC = b"\x91jr1"
HEAD = Struct("<4sII")
TEXTS = 14
"""Texts in a record with a length; the names are those of the fields of `Record`, from `location` on."""

ELEMENTS = (0x0020000D, 0x0020000E, 0x00100020, 0x00080060, 0x00080005)
"""Study and Series Instance UID, Patient ID, Modality, Specific Character Set: as they are, the reader decodes them."""

LONGEST_VALUE = 1024
"""Bytes of each: they have 64 at most, and one that is too long must not look like another one."""

_FIXED = Struct(f"<BBHQQQI{TEXTS - 1}H")
_LONGEST_TEXT = 0xFFFF
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

HOW = ("new", "replaced", "kept")


class Kind(IntEnum):
    """What a record says."""

    STORED = 1
    RECOVERED = 2
    """As STORED, found after a power cut by its file."""
    ASSOCIATION_ENDED = 3


class Record(NamedTuple):
    """A record: texts as they were received, undecoded. Times are nanoseconds: `published` since the boot, `received`
    since 1970."""

    kind: Kind
    how: int
    published: int
    received: int
    size: int
    location: bytes = b""
    sop_class_uid: bytes = b""
    sop_instance_uid: bytes = b""
    transfer_syntax_uid: bytes = b""
    study_instance_uid: bytes = b""
    series_instance_uid: bytes = b""
    patient_id: bytes = b""
    modality: bytes = b""
    specific_character_set: bytes = b""
    original_uid_hash: bytes = b""
    calling_ae_title: bytes = b""
    called_ae_title: bytes = b""
    peer_address: bytes = b""
    association_id: bytes = b""
    digest: bytes = b""


def encode(
    kind: int, how: int, published: int, received: int, size: int, texts: tuple[bytes, ...], digest: bytes = b""
) -> bytes:
    """A record with these `TEXTS` texts."""
    body = b"".join((_FIXED.pack(kind, how, 0, published, received, size, *map(len, texts)), *texts, digest))
    return HEAD.pack(MAGIC, crc32(body), len(body)) + body


def decode(data: bytes | memoryview) -> Record:
    """The record that `data` begins with. Raises ValueError if it is damaged."""
    if len(data) < HEAD.size:
        raise ValueError("it is too short")
    magic, checksum, length = HEAD.unpack_from(data)
    body = bytes(data[HEAD.size : HEAD.size + length])
    if magic != MAGIC or len(body) != length or length < _FIXED.size or crc32(body) != checksum:
        raise ValueError("its checksum is wrong")
    kind, how, _, published, received, size, *lengths = _FIXED.unpack_from(body)
    texts: list[bytes] = []
    position = _FIXED.size
    for each in lengths:
        texts.append(body[position : position + each])
        position += each
    texts.append(body[position:])
    return Record(Kind(kind), how, published, received, size, *texts)


class Read(NamedTuple):
    """A record in a file, from `offset` to `end`; `record` is None for bytes that are none."""

    offset: int
    end: int
    record: Record | None


def read_records(data: bytes, start: int = 0) -> Iterator[Read]:
    """The records in `data`, and the damaged bytes between them; damaged bytes at the end are left out, because they
    may be a record that is being written. Offsets count from `start`, which is that of the first byte."""
    position = 0
    while position < len(data):
        try:
            record = decode(memoryview(data)[position:])
        except ValueError:
            following = _next_record(data, position + 1)
            if following is None:
                return
            yield Read(start + position, start + following, None)
            position = following
        else:
            end = position + HEAD.size + HEAD.unpack_from(data, position)[2]
            yield Read(start + position, start + end, record)
            position = end


def _next_record(data: bytes, position: int) -> int | None:
    while (position := data.find(MAGIC, position)) >= 0:
        try:
            decode(memoryview(data)[position:])
        except ValueError:
            position += 1
        else:
            return position
    return None


def now() -> int:
    """Nanoseconds since the boot: setting the clock does not change it, and it goes on while the machine sleeps."""
    return time.clock_gettime_ns(_CLOCK)


@cache
def boot_id() -> str:
    """8 digits for this boot of the system, with which the names of its files begin; zeros where that has no id."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return "0" * 8


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


def make_key(path: Path) -> bytes:
    """The key in a file, which is made if it is missing. Raises OSError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        key = os.urandom(32)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(fd)
        try:
            os.link(temporary, path)  # another process may be first
        except FileExistsError:
            return path.read_bytes()
        finally:
            os.unlink(temporary)
        return key
