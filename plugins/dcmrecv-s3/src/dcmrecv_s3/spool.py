"""A directory below the output directory, in which instances are stored until they are in the bucket.

An instance has two entries there, whose name nothing else ever has:

    0123...cdef        the complete DICOM file, saved by the receiver
    0123...cdef.key    a symbolic link to nowhere: `replace-same/site/CT.1.2.3`, its policy and its key

The link is made first, and is durable with the file: both names are in the directory that is flushed.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from dcmrecv_core import Instance, OnExists, PluginError, StorageError, StoredEvent

SUFFIX = ".key"
_NAME = re.compile(r"[0-9a-f]{32}")
_UNUSED = 3600.0
"""Seconds after which a link without a file is removed: its worker has died."""

_CANNOT_REFUSE = ("refuse", "keep", "retry")


@dataclass(frozen=True, slots=True)
class Spooled:
    """An instance in the spool, as `taken.store` takes it."""

    event: StoredEvent
    key: str
    on_exists: OnExists

    @property
    def sop_instance_uid(self) -> str:
        return self.event.sop_instance_uid

    def open(self) -> BinaryIO:
        return self.event.open()


def subdirectory(text: str, root: str) -> str:
    """`--s3-spool`, relative to the output directory `root`. Raises PluginError if it is not below that."""
    path = os.path.relpath(text, root) if os.path.isabs(text) else os.path.normpath(text)
    if path.split("/", 1)[0] in ("", ".", ".."):
        raise PluginError(f"--s3-spool: a directory below the output directory expected, not {text}")
    return path


class Spool:
    """The one in `directory`."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def make(self) -> None:
        """Raises OSError."""
        os.makedirs(self._directory, exist_ok=True)

    def tidy(self) -> None:
        """Remove links that workers have left behind. Raises OSError."""
        before = time.time() - _UNUSED
        with os.scandir(self._directory) as entries:
            links = [entry for entry in entries if entry.name.endswith(SUFFIX)]
        for link in links:
            with suppress(FileNotFoundError):
                if link.stat(follow_symlinks=False).st_mtime < before and not os.path.exists(self._file_of(link.name)):
                    os.unlink(link.path)

    def _file_of(self, link: str) -> str:
        return f"{self._directory}/{link.removesuffix(SUFFIX)}"

    def add(self, instance: Instance, key: str) -> str:
        """Store the instance durably, to get this key; returns its location. Raises StatusError."""
        location = f"{self._directory}/{uuid.uuid4().hex}"
        link = f"{location}{SUFFIX}"
        try:
            os.symlink(f"{instance.on_exists}/{key}", link)
        except OSError as error:
            raise StorageError(f"S3 spool: {error.strerror}") from error
        try:
            return instance.save(location, "refuse")
        except BaseException:
            with suppress(OSError):
                os.unlink(link)
            raise

    def has(self, location: str) -> bool:
        """Whether an instance that is stored there was stored by `add`."""
        directory, name = os.path.split(location)
        # whatever way an earlier start was told of the output directory
        return _NAME.fullmatch(name) is not None and os.path.realpath(directory) == os.path.realpath(self._directory)

    def take(self, event: StoredEvent) -> Spooled:
        """Raises OSError: FileNotFoundError if it has no key."""
        policy, _, key = os.readlink(f"{event.location}{SUFFIX}").partition("/")
        # the sender has been told that it is stored; and nobody knows whether one that was found is the latest
        is_careful = policy in _CANNOT_REFUSE or event.recovered
        return Spooled(event, key, "rename" if is_careful else policy)  # type: ignore[arg-type]  # an OnExists

    def remove(self, location: str) -> None:
        """Remove an instance. Raises OSError."""
        for path in (location, f"{location}{SUFFIX}"):  # a file without a link would have no key
            with suppress(FileNotFoundError):
                os.unlink(path)
