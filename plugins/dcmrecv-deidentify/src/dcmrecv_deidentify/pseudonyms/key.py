"""The key: without it no pseudonym can be made again, and with it any guess can be checked. So it must not be where
de-identified data are handed out, and no other user may read it."""

from __future__ import annotations

import hmac
import logging
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

log = logging.getLogger("dcmrecv.deidentify")

LENGTH = 32
"""Bytes; as many as SHA-256 has."""

_FEWEST_BYTES = 12
"""Different ones in a key: not even one in 2**64 random keys has fewer, one that somebody has typed may."""


def load_key(path: Path, output_directory: str) -> bytes:
    """The key in a file, which is made if it is not there. Raises ValueError for a place or a file that is not safe,
    OSError if it cannot be read or made."""
    refuse_below(path, output_directory, "--deidentify-key")
    with suppress(FileExistsError):
        if not os.path.lexists(path):
            _make(path)
            log.warning("made a new key, %s: what was de-identified with another one has other pseudonyms", path)
    text = read_private(path, "--deidentify-key").decode("ascii", "replace").strip()
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != LENGTH or len(set(key)) < _FEWEST_BYTES:
        raise ValueError(f"--deidentify-key {path}: not a key, which has {2 * LENGTH} random hexadecimal digits")
    return key


def refuse_below(path: Path, output_directory: str, option: str) -> None:
    """Raises ValueError if `path` is below the output directory, also by links or mounts, or if its directory is not
    there."""
    if not path.parent.is_dir():
        raise ValueError(f"{option} {path}: there is no directory {path.parent}")
    output = os.stat(output_directory)
    places = {path.absolute().parent.resolve(strict=True), path.resolve().parent}
    for place in {above for each in places for above in (each, *each.parents)}:
        with suppress(FileNotFoundError):
            if os.path.samestat(place.stat(), output):
                raise ValueError(
                    f"{option} {path} is below the output directory {output_directory}, which others may get"
                )


def read_private(path: Path, option: str) -> bytes:
    """All of a file that only its owner may read. Raises ValueError if it is another one."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(fd, "rb") as stream:
        check_private(os.fstat(fd), path, option)
        return stream.read()


def check_private(status: os.stat_result, path: Path, option: str) -> None:
    """Raises ValueError unless it is a regular file that only the receiver's user (or root) may read."""
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{option} {path} is not a regular file")
    if status.st_uid not in (os.geteuid(), 0):
        raise ValueError(f"{option} {path} belongs to another user")
    if status.st_mode & 0o077:
        raise ValueError(f"{option} {path} can be read by others: chmod 600 {path}")


def _make(path: Path) -> None:
    """A new key, whole and durable when it has its name; one that another process makes meanwhile stays."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(LENGTH) + "\n")
            stream.flush()
            os.fsync(fd)
        os.link(temporary, path)
    finally:
        os.unlink(temporary)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def digest(key: bytes, kind: str, value: bytes) -> bytes:
    """What pseudonyms are made of: HMAC-SHA-256 over the kind and the value."""
    return hmac.digest(key, kind.encode() + b"\0" + value, "sha256")
