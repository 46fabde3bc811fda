"""Reads the files of the workers' journal, flushes them, and removes those that are finished."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from dcmrecv_core.delivery.store import FileState, NewEvent
from dcmrecv_core.storage.hidden import is_locked
from dcmrecv_core.storage.journals.boot import boot_id
from dcmrecv_core.storage.journals.files import FILE_SIZE, SUFFIX
from dcmrecv_core.storage.journals.records import HEAD, Kind, Read, read_records

log = logging.getLogger("dcmrecv.delivery")

DAMAGED = "damaged"
"""The directory in it for bytes that are no records."""

CHUNK = 256 << 10
"""Bytes read of a file at once: with 64 workers 16 MiB, however much waits."""

_NEVER = 1 << 64


@dataclass(slots=True)
class _File:
    """An open file of the journal, and what was read of it from `start` on.

    `ended`: no process will write to it any more. `has_more`: it has records after those that were read.
    """

    fd: int
    state: FileState
    is_of_this_boot: bool
    ended: bool = False
    has_more: bool = False
    reads: list[Read] = field(default_factory=list)
    data: bytes = b""
    start: int = 0

    @property
    def last(self) -> int:
        """When the last record that was read was published."""
        return max((read.record.published for read in self.reads if read.record is not None), default=0)


@dataclass(slots=True)
class Batch:
    """What one turn has read, all of it durable: events in their order, and how far each file was read. `more`: there
    is more than one turn reads."""

    events: list[NewEvent]
    files: dict[str, FileState]
    more: bool


class Reader(Protocol):
    """Reads what workers have recorded, wherever that is."""

    def open_associations(self) -> set[str]:
        """Those that may still store something."""

    def studies_to_come(self) -> set[str]:
        """Those of durable records that `read` leaves to another process, or that are later than its last call."""

    def read(self, until: int) -> Batch:
        """Records that are durable, in the order of each association; of files those that were written before `until`,
        nanoseconds since the boot. Raises OSError, StoreError."""

    def remove_finished(self) -> list[str]:
        """Remove the files that were read to their end, and return their names. Raises OSError."""

    def close(self) -> None: ...


class JournalReader:
    """Reads what is in `directory`, from where the files were read to before."""

    def __init__(self, directory: str, known: Mapping[str, FileState]) -> None:
        self._directory = directory
        self._known = dict(known)
        self._files: dict[str, _File] = {}

    def open_associations(self) -> set[str]:
        """Those that may still store something."""
        return {file.state.association for file in self._files.values() if file.state.association and not file.ended}

    def studies_to_come(self) -> set[str]:
        """None: of a file that has ended, all is read."""
        return set()

    def read(self, until: int) -> Batch:
        """Read the records that were written before `until`, nanoseconds since the boot, and flush them. They are in
        the order of that time; files of another boot, which have other times, come first. Raises OSError."""
        self._look()
        horizons = {True: until, False: _NEVER}
        for file in self._files.values():
            _read_file(file)
            if file.has_more:  # of the others no later records, which would overtake its next ones
                horizons[file.is_of_this_boot] = min(horizons[file.is_of_this_boot], file.last)
        if horizons[False] != _NEVER:
            horizons[True] = -1  # nothing before all of another boot is taken
        more = any(file.has_more for file in self._files.values())
        taken = {name: _before(file, horizons[file.is_of_this_boot]) for name, file in self._files.items()}
        self._flush([name for name, reads in taken.items() if reads])
        events: list[tuple[bool, int, NewEvent]] = []
        states: dict[str, FileState] = {}
        for name, reads in taken.items():
            file = self._files[name]
            for read in reads:
                self._take(name, file, read, events)
            del file.reads[: len(reads)]
            if reads:
                states[name] = file.state
        events.sort(key=lambda each: each[:2])
        return Batch([event for _, _, event in events], states, more)

    def remove_finished(self) -> list[str]:
        """Remove the files that no process writes to and that were read to their end, as the store knows durably;
        returns their names. Raises OSError."""
        gone = []
        for name, file in list(self._files.items()):
            if not file.ended or file.has_more or file.reads:
                continue
            rest = os.pread(file.fd, FILE_SIZE, file.state.position)
            if rest.strip(b"\0"):
                self._keep_damaged(name, file.state.position, rest.rstrip(b"\0"))
            os.unlink(os.path.join(self._directory, name))
            os.close(file.fd)
            del self._files[name]
            self._known.pop(name, None)
            gone.append(name)
        return gone

    def close(self) -> None:
        for file in self._files.values():
            os.close(file.fd)
        self._files.clear()

    def gone(self) -> list[str]:
        """Names of files that are known, but not there."""
        return [name for name in self._known if not os.path.exists(os.path.join(self._directory, name))]

    def _look(self) -> None:
        """Open new files, and see whose writer has ended."""
        try:
            names = [name for name in os.listdir(self._directory) if name.endswith(SUFFIX)]
        except FileNotFoundError:
            names = []
        for name in names:
            if name not in self._files:
                try:
                    fd = os.open(os.path.join(self._directory, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                except FileNotFoundError:
                    continue
                state = self._known.get(name, FileState())
                self._files[name] = _File(fd, state, name.startswith(boot_id()))
        for file in self._files.values():
            # looked at before it is read: what its writer wrote before it ended will be read
            file.ended = file.ended or not is_locked(file.fd)

    def _flush(self, names: list[str]) -> None:
        for name in names:
            os.fdatasync(self._files[name].fd)
        if any(name not in self._known for name in names):
            directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    def _take(self, name: str, file: _File, read: Read, events: list[tuple[bool, int, NewEvent]]) -> None:
        record = read.record
        association = file.state.association
        if record is None:
            data = file.data[read.offset - file.start : read.end - file.start]
            if data.strip(b"\0"):
                self._keep_damaged(name, read.offset, data)
            else:
                log.warning("%s: records are missing before byte %d", name, read.end)
        elif record.kind is Kind.ASSOCIATION_ENDED:
            association = ""
        else:
            association = record.association_id.decode("utf-8", "surrogateescape")
            id = f"{name.removesuffix(SUFFIX)}-{read.offset:x}"
            data = file.data[read.offset - file.start : read.end - file.start]
            events.append((file.is_of_this_boot, record.published, NewEvent(id, record, data)))
        file.state = FileState(read.end, association)
        self._known[name] = file.state

    def _keep_damaged(self, name: str, offset: int, data: bytes) -> None:
        directory = os.path.join(self._directory, DAMAGED)
        os.makedirs(directory, 0o700, exist_ok=True)
        path = os.path.join(directory, f"{name.removesuffix(SUFFIX)}-{offset:x}")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        log.error("%s: %d bytes at %d are no record of the journal, put aside as %s", name, len(data), offset, path)


def _read_file(file: _File) -> None:
    start = file.start = file.state.position
    file.data, file.reads, file.has_more = b"", [], False
    if not file.ended and not os.pread(file.fd, HEAD.size, start).strip(b"\0"):
        return  # the usual case: nothing new
    data = os.pread(file.fd, CHUNK, start)
    reads = list(read_records(data, start))
    if not reads and file.ended:
        # a power cut may have taken records, and left zeros, before others
        data = os.pread(file.fd, FILE_SIZE, start)
        reads = list(islice(read_records(data, start), 1))
        file.has_more = bool(reads)
    elif reads and len(data) == CHUNK:
        tail = data[reads[-1].end - start :]
        if file.ended:
            tail += os.pread(file.fd, FILE_SIZE, start + CHUNK)  # these zeros may be lost records, too
        file.has_more = not tail or bool(tail.strip(b"\0"))
    file.data, file.reads = data, reads


def _before(file: _File, horizon: int) -> list[Read]:
    """What was read, up to the first record that is later."""
    taken = []
    for read in file.reads:
        if read.record is not None and read.record.published > horizon:
            break
        taken.append(read)
    return taken
