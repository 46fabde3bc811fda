"""The start of a receiver that delivers: its queues, and what must be there before the first instance is stored."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dcmrecv_core.api.errors import StateDirectoryError
from dcmrecv_core.api.settings import UID_HASH_KEY
from dcmrecv_core.delivery.opening import check_shared, note_url, open_store, take_name, use
from dcmrecv_core.delivery.recovery import note_start
from dcmrecv_core.delivery.sqlite.database import FILE, check_database, is_marked, look_at
from dcmrecv_core.delivery.sqlite.mending import mend
from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.delivery.store import Queue, StoreError
from dcmrecv_core.hooks.guards import DELIVERY_HOOKS
from dcmrecv_core.storage.journals.files import DIRECTORY, SUFFIX
from dcmrecv_core.storage.journals.state_files import make_key
from dcmrecv_core.storage.mounts import locks_count, mount_of

if TYPE_CHECKING:
    from dcmrecv_core.hooks.plugins import Plugins
    from dcmrecv_core.settings.settings import Settings


log = logging.getLogger("dcmrecv.delivery")

_NAME_SECONDS = 30.0
"""Somewhat more than a lease."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def queues_of(plugins: Plugins, settings: Settings) -> list[Queue]:
    """The queues that the plugins want. Raises PluginError if one fails."""
    return [
        Queue.of(plugin, hook, target)
        for hook in DELIVERY_HOOKS
        for plugin in plugins.order(hook)
        for target in plugins.targets_of(plugin, hook, settings)
    ]


def prepare(settings: Settings) -> None:
    """Make the journal's directory, the key and the store. Raises StateDirectoryError if that is impossible, or if the
    store is a newer dcmrecv's."""
    state = settings.state_directory
    with _as_refusal(state):
        os.makedirs(state / DIRECTORY, 0o700, exist_ok=True)
        note_url(settings)
        if settings.journal is not None:
            make_key(state / UID_HASH_KEY)
            take_name(state, _NAME_SECONDS)
            _tell_left_behind(state)
            return
        _check_file_system(state, state)
        make_key(state / UID_HASH_KEY)
        check_database(str(state / FILE))
        try:
            _note_start(state)
        except StoreError:
            if not is_marked(str(state / FILE)):
                raise
            mend(str(state / FILE))
            _note_start(state)
        for path in (state, state.parent):
            _flush(path)


def _tell_left_behind(state: Path) -> None:
    """What waits in the state directory, from before `--journal` was given."""
    waiting = len(list((state / DIRECTORY).glob(f"*{SUFFIX}")))
    if (state / FILE).exists():
        with closing(SqliteStore.open(str(state), make=False)) as store:
            waiting += sum(each.waiting for each in store.states())
    if waiting:
        log.warning("deliveries wait in %s: they are made when the receiver is started without --journal", state)


def _note_start(state: Path) -> None:
    store = SqliteStore.open(str(state))
    try:
        note_start(store, time.time())
    finally:
        store.close()


def add_queues(settings: Settings, queues: Collection[Queue]) -> None:
    """Before a start or a reload: what is stored after it is put into these queues, too, by whichever journal process
    takes it in. Raises StateDirectoryError."""
    with _as_refusal(settings.state_directory):
        use(settings)
        with closing(open_store(settings.state_directory)) as store:
            store.add_queues(queues)


def check(settings: Settings) -> None:
    """What `prepare` would find wrong, as far as it can be seen without making or changing anything. Raises
    StateDirectoryError."""
    state = settings.state_directory
    with _as_refusal(state):
        if settings.journal is not None:
            check_shared(settings.journal)
            return
        nearest = next(path for path in (state, *state.parents) if path.is_dir())
        _check_file_system(state, nearest)
        if (state / UID_HASH_KEY).exists():
            (state / UID_HASH_KEY).read_bytes()
        if (state / FILE).exists():
            look_at(str(state / FILE))


@contextmanager
def _as_refusal(state: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateDirectoryError(f"state directory {state} cannot be used: {error.strerror}") from error
    except StoreError as error:
        raise StateDirectoryError(f"the store of deliveries cannot be used: {error}") from error


def _check_file_system(state: Path, existing: Path) -> None:
    """Of the state directory, or of the directory in which it will be made."""
    directory = os.open(existing, _DIRECTORY)
    try:
        mount = mount_of(directory)
        if mount is not None and not locks_count(directory):
            raise StateDirectoryError(
                f"state directory {state} is on a file system of kind {mount.kind}, where a database for "
                "deliveries is not safe: give it a local one with --state-dir"
            )
    finally:
        os.close(directory)


def _flush(path: Path) -> None:
    directory = os.open(path, _DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
