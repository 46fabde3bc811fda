"""System calls of Linux that Python does not have: renameat2 exchanges names, or refuses to overwrite; sync_file_range
writes out the data of a file."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from functools import cache

NO_NOCLOBBER = (errno.EINVAL, errno.ENOSYS)
"""Errors of renameat2 where it cannot refuse to overwrite."""

NO_EXCHANGE = (*NO_NOCLOBBER, errno.EOPNOTSUPP, errno.EPERM)
"""Errors of renameat2 where it cannot exchange; EPERM where a container's rules forbid it."""

_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_WAIT_BEFORE_WRITE_WAIT_AFTER = 7


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


def write_out(fd: int) -> None:
    """sync_file_range: write the data of a file to its device, and wait for that; the device may still have them in a
    cache. Where that call is missing or forbidden, fsync, which does more. Raises OSError as fsync."""
    call = _sync_file_range()
    if call is None:
        os.fsync(fd)
    elif call(fd, 0, 0, _WAIT_BEFORE_WRITE_WAIT_AFTER):
        code = ctypes.get_errno()
        if code not in (errno.ENOSYS, errno.EPERM):
            raise OSError(code, os.strerror(code))
        os.fsync(fd)


@cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    call = getattr(ctypes.CDLL(None, use_errno=True), "sync_file_range", None)
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return call
