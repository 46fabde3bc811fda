"""A process without a free file descriptor can store nothing; nearly always a plugin does not close what it opens."""

from __future__ import annotations

import errno
import os
import resource
from collections import Counter
from collections.abc import Callable

_MOST_REFUSED = 2
"""Instances that a worker refuses for want of descriptors; a second one says that waiting does not help."""


class DescriptorGuard:
    """Notices that this process has reached its limit (EMFILE). That the whole system has reached its own (ENFILE) does
    not count: another process would fare no better."""

    def __init__(self) -> None:
        self.ran_out = False
        """Whether that has happened at some time: this process should serve no further association."""
        self.on_useless: Callable[[], None] = lambda: None
        """Called when it can store nothing any more, so that it should not even finish its association."""
        self._refused = 0

    @property
    def is_useless(self) -> bool:
        """Whether `on_useless` was called."""
        return self._refused >= _MOST_REFUSED

    def notice(self, error: BaseException | None) -> bool:
        """Look at an exception and its causes; returns whether one of them is EMFILE."""
        while error is not None:
            if isinstance(error, OSError) and error.errno == errno.EMFILE:
                self.ran_out = True
                return True
            error = error.__cause__ or error.__context__
        return False

    def refused(self, error: BaseException) -> None:
        """An instance is refused because of `error`."""
        if self.notice(error):
            self._refused += 1
            if self._refused == _MOST_REFUSED:
                self.on_useless()


def describe_descriptors() -> str:
    """How many descriptors are open, of which kinds, and the limit. No names: they may have patient data."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    kinds: Counter[str] = Counter()
    try:
        with os.scandir("/proc/self/fd") as entries:
            for entry in entries:
                kinds[_kind(os.readlink(entry.path))] += 1
    except OSError:  # not even this can be opened
        return f"all {limit} are open"
    found = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return f"{kinds.total()} are open, limit {limit}: {found}"


def _kind(target: str) -> str:
    if target.startswith("/"):
        return "files"
    return {"socket": "sockets", "pipe": "pipes"}.get(target.partition(":")[0], "others")
