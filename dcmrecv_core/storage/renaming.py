"""renameat2 (Linux), which Python does not have: it exchanges names, or refuses to overwrite."""

from __future__ import annotations

import ctypes
import errno
import os

NO_NOCLOBBER = (errno.EINVAL, errno.ENOSYS)
"""Errors of renameat2 where it cannot refuse to overwrite."""

NO_EXCHANGE = (*NO_NOCLOBBER, errno.EOPNOTSUPP, errno.EPERM)
"""Errors of renameat2 where it cannot exchange; EPERM where a container's rules forbid it."""

_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2


def rename_noreplace(source_fd: int, source: str, target_fd: int, target: str) -> None:
    """renameat2 with RENAME_NOREPLACE, for file systems without hard links; raises OSError as rename does."""
    _renameat2(source_fd, source, target_fd, target, _RENAME_NOREPLACE)


def rename_exchange(source_fd: int, source: str, target_fd: int, target: str) -> None:
    """renameat2 with RENAME_EXCHANGE: each gets the other's name in one step; raises OSError as rename does, of
    `NO_EXCHANGE` where the file system cannot, FileNotFoundError if either is missing."""
    _renameat2(source_fd, source, target_fd, target, _RENAME_EXCHANGE)


def _renameat2(source_fd: int, source: str, target_fd: int, target: str, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), target)
    if libc.renameat2(source_fd, os.fsencode(source), target_fd, os.fsencode(target), flags):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)
