"""The journal process: it makes the workers' records durable, puts them into the queues, and completes studies.

One for a receiver, a child of the supervisor. No other process waits for it: if it dies, another one goes on from what
is in the store.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from dcmrecv_core.api.errors import StorageError
from dcmrecv_core.delivery import clock
from dcmrecv_core.delivery.events import decode_or_none
from dcmrecv_core.delivery.journal import JournalReader, Reader
from dcmrecv_core.delivery.opening import node_name, shared_reader, work_on_store
from dcmrecv_core.delivery.recovery import Leftovers, Recovery
from dcmrecv_core.delivery.sqlite.database import FILE, is_marked
from dcmrecv_core.delivery.sqlite.mending import mend
from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.delivery.store import OpenStudy, Queue, Store, StoreError
from dcmrecv_core.storage.journals.boot import now
from dcmrecv_core.storage.journals.files import DIRECTORY, JournalWriter

if TYPE_CHECKING:
    from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("dcmrecv.delivery")

TURN = 1.0
"""Seconds between two flushes of the journal."""

OPEN_FACTOR = 10
"""So many times the time-out a study waits for an association that is open."""

KEPT_SECONDS = 30 * 86400.0
"""Events are kept so long after they were taken in: for `replay`, and for the next revision of their study."""

_UNDER_WAY = 20 * 10**6  # nanoseconds between the time in a record and its being there to be read
_QUIET_MARK = 60.0
_PURGED_AT_ONCE = 1000
_STUDIES_AT_ONCE = 100
_LATER = 1 << 62


class Keeper:
    """Its turns. `study_timeout` is in seconds."""

    def __init__(self, store: Store, reader: Reader, study_timeout: float) -> None:
        self._store = store
        self._reader = reader
        self._timeout = int(study_timeout * clock.SECOND)
        self._senders: dict[OpenStudy, set[str]] = {}
        """Associations that have sent to studies and series that wait for the end of one."""
        self._marked = 0.0
        self._purged = 0.0

    def turn(self) -> bool:
        """Take in what was recorded, then complete studies; returns whether there is more to be taken in. Raises
        StoreError, OSError."""
        at, turned = time.time(), self._store.now()
        until = now() - _UNDER_WAY
        asked = self._store.asked()
        batch = self._reader.read(until)
        if batch.events or batch.files or abs(at - self._marked) > _QUIET_MARK:  # a clock may be set back
            self._store.take_in(batch.events, batch.files, turned, at)
            self._marked = at
        if 0 < asked < until and not batch.more:
            self._store.answer(until)
        if names := self._reader.remove_finished():
            self._store.forget_files(names)
        if not batch.more:
            self._complete(turned)
            self._purge(at)
        return batch.more

    def _complete(self, now: int) -> None:
        quiet = self._store.quiet(now - self._timeout)
        still_open = self._reader.open_associations() if quiet else set()
        to_come = self._reader.studies_to_come() if quiet else set()  # after the look at who may add to them
        self._senders = {each: self._senders[each] for each in quiet if each in self._senders}
        completed = 0
        for each in quiet:
            if completed == _STUDIES_AT_ONCE:
                break
            if each.study in to_come:
                continue
            waited = now - each.last
            if waited < OPEN_FACTOR * self._timeout and not still_open.isdisjoint(self._senders_of(each, still_open)):
                continue
            completed += 1
            revision = self._store.complete(each)
            self._senders.pop(each, None)
            if revision:
                what = f"series {each.series}" if each.series else f"study {each.study}"
                log.info("%s is complete, revision %d", what, revision)

    def _senders_of(self, open_study: OpenStudy, still_open: set[str]) -> set[str]:
        """Those that are still open, or all; read once for each last instance of it."""
        if not still_open:
            return still_open
        if open_study not in self._senders:
            records = (decode_or_none(found.data) for found in self._store.records_since(open_study))
            self._senders[open_study] = {
                record.association_id.decode("utf-8", "surrogateescape") for record in records if record is not None
            }
        return self._senders[open_study]

    def _purge(self, at: float) -> None:
        if abs(at - self._purged) > 60.0 and self._store.purge(at - KEPT_SECONDS, _PURGED_AT_ONCE) < _PURGED_AT_ONCE:
            self._purged = at


def run(
    settings: Settings,
    queues: Collection[Queue],
    should_stop: Callable[[], bool],
    *,
    relocated_from: str | None = None,
) -> None:
    """The journal process, until it is told to stop. Raises StoreError, OSError, StorageError: it is started again.

    `relocated_from` is a directory below the output directory.
    """
    os.nice(5)
    if settings.journal is not None:

        def keep(store: Store) -> None:
            leftovers = _leftovers(settings, store, relocated_from)
            _keep_shared(settings, store, queues, leftovers, should_stop)

        work_on_store(settings, keep, should_stop)
    else:
        _keep_files(settings, queues, should_stop, relocated_from)


def _keep_shared(
    settings: Settings,
    store: Store,
    queues: Collection[Queue],
    leftovers: Leftovers | None,
    should_stop: Callable[[], bool],
) -> None:
    """No record is recovered: a record is durable there before its instance is confirmed."""
    store.begin(queues, store.now())
    keeper = Keeper(store, shared_reader(store), settings.study_timeout)
    _tell_unclaimed(store)
    while not should_stop():
        begun = time.monotonic()
        if not keeper.turn():
            if leftovers is not None and leftovers.turn():
                leftovers = None
            _sleep(begun + TURN, should_stop)
    keeper.turn()


def _keep_files(
    settings: Settings, queues: Collection[Queue], should_stop: Callable[[], bool], relocated_from: str | None
) -> None:
    directory = os.path.join(settings.state_directory, DIRECTORY)
    database = os.path.join(settings.state_directory, FILE)
    mend(database)
    store = SqliteStore.open(str(settings.state_directory))
    store.begin(queues, clock.now())
    store.note("stopped", None)  # after a reload the receiver goes on
    reader = JournalReader(directory, store.files())
    store.forget_files(reader.gone())
    writer = JournalWriter(directory)
    keeper = Keeper(store, reader, settings.study_timeout)
    _tell_unclaimed(store)
    recovery = _recovery(settings, store, writer)
    leftovers = _leftovers(settings, store, relocated_from)
    try:
        while not should_stop():
            begun = time.monotonic()
            if is_marked(database):
                raise StoreError(f"a part of {FILE} cannot be read, mending it")
            more = keeper.turn()
            if leftovers is not None:
                if not more and leftovers.turn():
                    leftovers = None
            elif recovery is not None and not more and not _goes_on(recovery):
                recovery = None
                writer.close()
                store.note("searched since", None)
            if not more:
                _sleep(begun + TURN, should_stop)
        keeper.turn()
        store.note("stopped", repr(time.time()))
    finally:
        writer.close()
        reader.close()
        store.close()


def _tell_unclaimed(store: Store) -> None:
    for state in store.states():
        if not state.claimed and (waiting := state.waiting + state.put_aside):
            text = "%d deliveries wait for %s, which no plugin claims; dcmrecvctl queue drop --target %s removes them"
            log.warning(text, waiting, state.queue, state.queue)


def _leftovers(settings: Settings, store: Store, directory: str | None) -> Leftovers | None:
    return None if directory is None else Leftovers(settings, store, directory, node_name(settings))


def _goes_on(recovery: Recovery) -> bool:
    try:
        return not recovery.turn()
    except StorageError as error:
        log.error("stored files cannot be recovered yet: %s", error.comment)
        return True


def _recovery(settings: Settings, store: Store, writer: JournalWriter) -> Recovery | None:
    """The search that `note_start` has asked for, if it is not finished."""
    since, until = store.noted("searched since"), store.noted("searched until")
    return Recovery(settings, store, writer, float(since), float(until or "inf")) if since is not None else None


def _sleep(until: float, should_stop: Callable[[], bool]) -> None:
    while (left := until - time.monotonic()) > 0 and not should_stop():
        time.sleep(min(left, 0.1))
