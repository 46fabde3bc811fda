"""After a power cut: files that were stored, and whose records the journal has lost, get a record again.

The files that have changed since the last flush, less ten minutes, are looked for once, a part in each turn of the
journal process. They are compared with what was recorded only when all were found: until then the journal has taken in
what is being stored meanwhile. Directories that cannot be read are looked at again later, until they can be.

At each start: files that were to be relocated, and that no event knows.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from dcmrecv_core.api.errors import DataSetError
from dcmrecv_core.api.names import RESERVED
from dcmrecv_core.dataset.encodings import IMPLICIT_LITTLE, encoding_of
from dcmrecv_core.dataset.raw_values import read_beginning
from dcmrecv_core.dataset.scan import scan
from dcmrecv_core.dataset.sources import FileSource
from dcmrecv_core.delivery.store import NewEvent
from dcmrecv_core.storage.file_meta import read_file_meta
from dcmrecv_core.storage.journals.boot import boot_id, now
from dcmrecv_core.storage.journals.files import JournalWriter
from dcmrecv_core.storage.journals.records import ELEMENTS, LONGEST_VALUE, Kind, decode, encode

if TYPE_CHECKING:
    from dcmrecv_core.delivery.store import Store
    from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("dcmrecv.delivery")

SLACK = 600.0
"""Seconds before the last flush: clocks are set, and time stamps are coarse."""

PART = 0.3
"""Seconds of work in a turn."""

SETTLED = 2
"""Turns after which the journal has taken in what was being stored when the last file was found."""

AGAIN = 60.0
"""Seconds until directories that could not be read are looked at again."""

_PROGRESS = 100_000
_UNREAD = "unread directories"


def note_start(store: Store, now: float) -> None:
    """Note the boot of the system, and what has to be searched if there was another one since the last flush. Called
    before the first instance can be stored: from then on a power cut finds in the store where to begin."""
    store.forget_moments()
    before, flushed, stopped = store.noted("boot"), store.noted("flushed"), store.noted("stopped")
    if flushed is None:
        store.take_in([], {}, 0, now)
    elif before != boot_id():
        store.note("searched until", repr(float(stopped) + SLACK) if stopped else "inf")
        if store.noted("searched since") is None:  # else the search before was not finished, and begins earlier
            store.note("searched since", repr(float(flushed) - SLACK))
        store.note(_UNREAD, None)
    if before != boot_id():
        store.note("boot", boot_id())
    if stopped:
        store.note("stopped", None)


class Recovery:
    """One search below the output directory for files that changed from `since` to `until`, seconds since 1970; goes on
    with what a process before this one could not read."""

    def __init__(self, settings: Settings, store: Store, writer: JournalWriter, since: float, until: float) -> None:
        self._root = settings.output_directory or "."
        self._start = settings.working_directory
        self._state_directory = os.path.realpath(settings.state_directory)
        self._store = store
        self._writer = writer
        self._since = since
        self._until = until
        self._seen = 0
        self._found: list[str] = []
        self._turns = 0
        self._entered: set[tuple[int, int]] = set()
        self._told: set[str] = set()
        self._unread: dict[str, None] = {}
        """Directories, in the order in which they were met."""
        self._again_at = 0.0  # not while a search goes on
        log.warning("looking for stored files whose records are lost")
        self._files = self._changed_files(json.loads(store.noted(_UNREAD) or '[""]'))

    def turn(self) -> bool:
        """Do a part of it; returns whether it is finished. Raises StoreError, StorageError if the state directory has
        no room: then it may be called again."""
        end = time.monotonic() + PART
        for path in self._files:
            if path:
                self._found.append(path)
            if time.monotonic() > end:
                return False
        self._turns += 1
        if self._turns <= SETTLED:
            return False
        if not self._again_at:
            self._record(end)
        if self._found:
            return False
        if self._unread:
            self._look_again()
            return False
        self._store.note(_UNREAD, None)
        return True

    def _look_again(self) -> None:
        """At what could not be read, when it is time."""
        if not self._again_at:
            self._again_at = time.monotonic() + AGAIN
            self._store.note(_UNREAD, json.dumps(list(self._unread)))
            log.warning("%d directories cannot be read, looking at them again from time to time", len(self._unread))
        elif time.monotonic() >= self._again_at:
            self._files, self._unread = self._changed_files(list(self._unread)), {}
            self._again_at, self._turns = 0.0, 0

    def _changed_files(self, directories: list[str]) -> Iterator[str]:
        """The locations of files below these that changed in the time; "" for each other file."""
        while directories:
            inner = directories.pop()
            try:
                with os.scandir(os.path.join(self._start, self._root, inner)) as entries:
                    for entry in entries:
                        path = f"{inner}/{entry.name}" if inner else entry.name
                        kind = self._kind_of(entry, inner)
                        if kind == "directory":
                            directories.append(path)
                        elif kind:
                            yield f"{self._root}/{path}" if kind == "changed" else ""
            except OSError as error:
                if not inner or not isinstance(error, FileNotFoundError):
                    self._note_unread(inner, os.path.join(self._root, inner), error)
        log.warning("%d files seen, %d of them are new", self._seen, len(self._found))

    def _note_unread(self, directory: str, what: str, error: OSError) -> None:
        self._unread[directory] = None
        if what not in self._told:
            self._told.add(what)
            log.warning("cannot look for stored files in %s: %s", what, error.strerror)

    def _kind_of(self, entry: os.DirEntry[str], inner: str) -> str:
        """What an entry of the directory `inner` is: a "directory" to be entered, a file that was "changed" in the time
        or is "old", "" for none of them."""
        if entry.name.startswith(RESERVED):
            return ""
        try:
            if entry.is_file(follow_symlinks=False):
                return "changed" if self._is_in_time(entry.stat(follow_symlinks=False)) else "old"
            return "directory" if self._may_be_entered(entry) else ""
        except FileNotFoundError:  # moved or removed since the directory was read
            return ""
        except OSError as error:
            if error.errno == errno.ELOOP:
                log.warning("cannot look at %s: %s", entry.path, error.strerror)
            else:
                self._note_unread(inner, entry.path, error)
            return ""

    def _may_be_entered(self, entry: os.DirEntry[str]) -> bool:
        """A directory that was not entered yet, or the link of an administrator to one: instances are stored there."""
        if entry.is_symlink() and entry.stat(follow_symlinks=False).st_uid not in (0, os.geteuid()):
            return False
        if not entry.is_dir() or os.path.realpath(entry.path) == self._state_directory:
            return False
        status = entry.stat()
        identity = status.st_dev, status.st_ino
        is_new = identity not in self._entered
        self._entered.add(identity)
        return is_new

    def _is_in_time(self, status: os.stat_result) -> bool:
        self._seen += 1
        if self._seen % _PROGRESS == 0:
            log.warning("%d files seen so far, %d of them are new", self._seen, len(self._found))
        return self._since <= status.st_ctime <= self._until

    def _record(self, end: float) -> None:
        known = {hash(location): at for location, at in self._store.locations_since(self._since - SLACK)}
        recovered = 0
        while self._found and time.monotonic() < end + PART:
            location = self._found[-1]
            at = known.get(hash(os.fsencode(location)))
            if at is None or self._is_written_after(location, at):
                record = self._record_of(location)
                if record:
                    self._writer.make_room()
                    self._writer.append(record)
                    recovered += 1
                    log.warning("%s has no record in the journal: recovered", location)
            self._found.pop()
        log.warning("%d stored files recovered, %d are left to be looked at", recovered, len(self._found))

    def _is_written_after(self, location: str, at: float) -> bool:
        """Whether another content is there than that whose record was taken in `at`."""
        try:
            return os.stat(os.path.join(self._start, location), follow_symlinks=False).st_mtime > at
        except OSError:
            return False

    def _record_of(self, location: str) -> bytes:
        """b"" if it is no whole DICOM file."""
        try:
            return record_at(location, self._start)
        except (OSError, ValueError, DataSetError) as error:
            log.warning("%s is no whole DICOM file, it is not recovered: %s", location, error)
            return b""


class Leftovers:
    """Files that are at the start in the directory from which a plugin relocates, and that no event knows: a process
    was killed before it wrote the record, or before it removed what was relocated; or the store was lost. Each becomes
    an event of its own.

    `directory` is relative to the output directory; `node` is that of this receiver in a store of several.
    """

    def __init__(self, settings: Settings, store: Store, directory: str, node: str = "") -> None:
        self._start = settings.working_directory
        self._store = store
        self._node = node
        self._turns = 0
        place = f"{settings.output_directory or '.'}/{directory}"
        self._files: list[str] = []
        with suppress(FileNotFoundError), os.scandir(os.path.join(self._start, place)) as entries:
            self._files += (
                f"{place}/{entry.name}"
                for entry in entries
                if not entry.name.startswith(RESERVED) and entry.is_file(follow_symlinks=False)
            )

    def turn(self) -> bool:
        """Do a part of it; to be called when nothing more is to be taken in. Returns whether it is finished. Raises
        StoreError."""
        self._turns += 1
        if not self._files or self._turns <= SETTLED:
            return not self._files
        if self._turns == SETTLED + 1:
            known = {self._path_of(os.fsdecode(each)) for each in self._store.held_locations()}
            self._files = [each for each in self._files if self._path_of(each) not in known]
        end = time.monotonic() + PART
        found: list[NewEvent] = []
        while self._files:
            found += self._events_at(self._files.pop())
            if time.monotonic() > end:
                break
        if found:
            log.warning("%d files that no event knows are found, and will be relocated", len(found))
            self._store.take_in(found, {}, self._store.now(), time.time())
        return not self._files

    def _path_of(self, location: str) -> str:
        """Whatever way an earlier start was told of the output directory."""
        return os.path.normpath(os.path.join(self._start, location))

    def _events_at(self, location: str) -> Iterator[NewEvent]:
        try:
            data = record_at(location, self._start)
        except FileNotFoundError:  # relocated meanwhile
            return
        except (OSError, ValueError, DataSetError) as error:
            log.warning("%s is no whole DICOM file, it is not relocated: %s", location, error)
            return
        yield NewEvent(f"found-{os.urandom(12).hex()}", decode(data), data, self._node)


def record_at(location: str, start: str) -> bytes:
    """As `record_of_file`; the location is relative to `start`."""
    fd = os.open(os.path.join(start, location), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return record_of_file(location, fd)
    finally:
        os.close(fd)


def record_of_file(location: str, fd: int) -> bytes:
    """The record of a stored file. Raises ValueError or DataSetError if it is not whole, OSError."""
    meta = read_file_meta(fd)
    size = os.fstat(fd).st_size - meta.offset
    encoding = encoding_of(meta.transfer_syntax_uid)
    index = scan(FileSource(fd, meta.offset, size), encoding or IMPLICIT_LITTLE, whole=encoding is not None)
    texts = (
        os.fsencode(location),
        meta.sop_class_uid.encode("latin-1"),
        meta.sop_instance_uid.encode("latin-1"),
        meta.transfer_syntax_uid.encode("latin-1"),
        *[read_beginning(index, tag, LONGEST_VALUE) for tag in ELEMENTS],
        *[b""] * 5,
    )
    return encode(Kind.RECOVERED, 0, now(), 0, size, texts)
