"""POSIX ACLs as extended attributes (Linux acl(5)): setfacl need not be installed."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

ACCESS = "system.posix_acl_access"
DEFAULT = "system.posix_acl_default"
_VERSION = 2
_NO_ID = 0xFFFFFFFF


def acl(*, user: int, named: dict[int, int], group: int, mask: int, other: int) -> bytes:
    """An ACL with the permissions (0 to 7) of the owner, of named users by their numbers, and of the others."""
    entries = [(0x01, user, _NO_ID), *((0x02, bits, uid) for uid, bits in sorted(named.items()))]
    entries += [(0x04, group, _NO_ID), (0x10, mask, _NO_ID), (0x20, other, _NO_ID)]
    return struct.pack("<I", _VERSION) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def acl_of(path: Path, name: str = ACCESS) -> bytes:
    """The ACL of a file; empty if there is none."""
    try:
        return os.getxattr(path, name)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return b""
