"""What `--on-duplicate` needs: whether an instance is stored already, and the next name for one that is not."""

from __future__ import annotations

import os
import re
import stat
from typing import BinaryIO

from dcmrecv_core import Instance, escape

_CHUNK = 1 << 18
_LONGEST_META = 1 << 16
_TRANSFER_SYNTAX_UID = b"\x02\x00\x10\x00UI"
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,9}\Z")
# neither a link nor a pipe that somebody put there may send us elsewhere or make us wait
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def is_stored(instance: Instance, path: str, *, flush: bool) -> bool:
    """Whether the file at `path` holds the data set of `instance`, byte for byte, in the same transfer syntax.

    File Meta Information otherwise does not count: it tells who received and who sent, not what. With `flush` the file
    is safe on disk, too: whoever wrote it may have done without.
    """
    try:
        file = open(path, "rb", opener=lambda path, _: os.open(path, _FLAGS))  # noqa: SIM115
    except OSError:  # nothing there, or a directory
        return False
    with file:
        status = os.fstat(file.fileno())
        start = status.st_size - instance.size
        if not stat.S_ISREG(status.st_mode) or not 144 <= start <= _LONGEST_META:
            return False
        try:
            meta = file.read(start)
            if _data_set_offset(meta) != start or _transfer_syntax_uid(meta) != instance.transfer_syntax_uid:
                return False
            with instance.open() as received:
                received.seek(-instance.size, os.SEEK_END)
                if not _same(file, received):
                    return False
            if flush:
                os.fsync(file.fileno())
        except OSError:
            return False  # `save` will find out what is wrong with the disk, and say so
    return True


def numbered(path: str, number: int, extension: str) -> str:
    """`path` with `~number` before its extension: `extension` if it ends so, else `.dcm` and the like, which begin with
    a letter; the last number of a UID is none."""
    directory, name = os.path.split(path)
    if not extension or not name.endswith(extension):
        found = _EXTENSION.search(name)
        extension = found.group() if found else ""
    stem = name.removesuffix(extension)
    return os.path.join(directory, escape(f"{stem}~{number}", extension))


def _data_set_offset(meta: bytes) -> int:
    """Where the data set begins by the File Meta Information Group Length (PS3.10 section 7.1), -1 if it is odd."""
    if meta[128:140] != b"DICM\x02\x00\x00\x00UL\x04\x00":
        return -1
    return 144 + int.from_bytes(meta[140:144], "little")


def _transfer_syntax_uid(meta: bytes) -> str:
    # the first place is the element: only the UIDs of class and instance precede it
    _, found, rest = meta.partition(_TRANSFER_SYNTAX_UID)
    return rest[2 : 2 + int.from_bytes(rest[:2], "little")].rstrip(b"\0 ").decode("latin-1") if found else ""


def _same(stored: BinaryIO, received: BinaryIO) -> bool:
    """Whether both go on alike; they have the same length."""
    while chunk := received.read(_CHUNK):
        if stored.read(len(chunk)) != chunk:
            return False
    return True
