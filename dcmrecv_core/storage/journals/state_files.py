"""Small files in the state directory that are made once: the key of hashed UIDs, and the name of this node."""

from __future__ import annotations

import os
from pathlib import Path

from dcmrecv_core.storage.journals.boot import boot_id

NODE = "node"
"""The file with the name of this node."""


def make_key(path: Path) -> bytes:
    """The key in a file, which is made if it is missing. Raises OSError."""
    return _made_once(path, os.urandom(32))


def node_of(state_directory: Path) -> str:
    """The name of this node, which is made if it is missing: whose files are in its output directory. Raises
    OSError."""
    return _made_once(state_directory / NODE, os.urandom(6).hex().encode() + b"\n").decode().strip()


def place_of(state_directory: Path) -> str:
    """What tells the state directory of this node from a copy of it, also on a copy of the machine. Raises OSError."""
    status = (state_directory / NODE).stat()
    return f"{boot_id()} {status.st_dev} {status.st_ino}"


def _made_once(path: Path, content: bytes) -> bytes:
    """What is in a file; if it is missing, it is made with this content, durably. Raises OSError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
        try:
            os.link(temporary, path)  # another process may be first
        except FileExistsError:
            return path.read_bytes()
        finally:
            os.unlink(temporary)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)  # or a power cut would give this receiver another one
        finally:
            os.close(directory)
        return content
