"""renameat2 (Linux), which Python does not have: names that change without a moment in which they are missing."""

from __future__ import annotations

import ctypes
import errno
import os

NO_NOCLOBBER = (errno.EINVAL, errno.ENOSYS)
"""What renameat2 says where it cannot refuse to overwrite."""

_RENAME_NOREPLACE = 1


def rename_noreplace(source_fd: int, source: str, target_fd: int, target: str) -> None:
    """renameat2 with RENAME_NOREPLACE, for file systems without hard links; raises OSError as rename does."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), target)
    if libc.renameat2(source_fd, os.fsencode(source), target_fd, os.fsencode(target), _RENAME_NOREPLACE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)
