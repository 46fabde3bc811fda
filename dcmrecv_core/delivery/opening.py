"""Opens the store of a receiver: in its state directory, or in the database that `--journal` names.

A process of a receiver knows the URL from its settings. Any other finds it in the state directory, without the
password: that is for libpq to find (PGPASSWORD, ~/.pgpass), or in the settings file that is given to dcmrecvctl.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dcmrecv_core.delivery.store import StoreError
from dcmrecv_core.storage.journals.state_files import NODE, node_of, place_of

if TYPE_CHECKING:
    from dcmrecv_core.delivery.journal import Reader
    from dcmrecv_core.delivery.store import Store
    from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("dcmrecv.delivery")

URL_FILE = "journal-url"
"""In the state directory."""

_known: dict[str, str] = {}


def use(settings: Settings) -> None:
    """Remember the database of this receiver, for this process and those that are forked from it."""
    if settings.journal is not None:
        _known[str(settings.state_directory)] = settings.journal


def has_database(state_directory: Path) -> bool:
    """Whether this process knows that the receiver has its journal in a database, and with which password."""
    return str(state_directory) in _known


def note_url(settings: Settings) -> None:
    """Note in the state directory which database the receiver uses. Raises OSError, StoreError."""
    use(settings)
    path = settings.state_directory / URL_FILE
    if settings.journal is None:
        with suppress(FileNotFoundError):
            path.unlink()
        return
    _check_psycopg()
    from dcmrecv_core.delivery.postgresql.database import without_password

    temporary = path.with_name(f"{URL_FILE}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(without_password(settings.journal) + "\n")
    os.rename(temporary, path)


def open_store(state_directory: Path, *, make: bool = False) -> Store:
    """Raises StoreError."""
    url = _known.get(str(state_directory)) or _noted(state_directory)
    if url is None:
        from dcmrecv_core.delivery.sqlite.store import SqliteStore

        return SqliteStore.open(str(state_directory), make=make)
    return open_shared(url, state_directory, make=make)


def work_on_store(
    settings: Settings, work: Callable[[Store], None], should_stop: Callable[[], bool], *, pause: float = 1.0
) -> None:
    """Call `work` with the store. If a database of several nodes cannot be used, wait until it can be, and call it
    again. Raises StoreError for a store in the state directory."""
    use(settings)
    told = ""
    while True:
        try:
            with closing(open_store(settings.state_directory, make=True)) as store:
                if told:
                    log.info("the journal's database can be used again")
                    told = ""
                return work(store)
        except StoreError as error:
            if settings.journal is None:
                raise
            if str(error) != told:
                log.error("deliveries wait until the journal's database can be used: %s", error)
            told = str(error)
        until = time.monotonic() + pause
        while time.monotonic() < until:
            if should_stop():
                return None
            time.sleep(min(pause, 0.1))


def shared_reader(store: Store) -> Reader:
    """Of the records in the database of this store."""
    from dcmrecv_core.delivery.postgresql.journal import SharedJournalReader
    from dcmrecv_core.delivery.postgresql.store import PostgresqlStore

    assert isinstance(store, PostgresqlStore)
    return SharedJournalReader(store)


def node_name(settings: Settings) -> str:
    """Of this receiver among those that share its journal; "" without `--journal`. Raises OSError."""
    if settings.journal is None:
        return ""
    return node_of(settings.state_directory)


def _noted(state_directory: Path) -> str | None:
    try:
        return (state_directory / URL_FILE).read_text().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{state_directory / URL_FILE} cannot be read: {error.strerror}") from error


def open_shared(url: str, state_directory: Path, *, make: bool = False) -> Store:
    """Raises StoreError."""
    _check_psycopg()
    from dcmrecv_core.delivery.postgresql.store import PostgresqlStore

    try:
        return PostgresqlStore.open(url, node_of(state_directory), make=make)
    except OSError as error:
        raise StoreError(f"state directory {state_directory} cannot be used: {error.strerror}") from error


def take_name(state_directory: Path, seconds: float) -> None:
    """Make the database of several nodes, and this receiver the only one with the name of its node. A receiver that has
    died keeps the name until its lease ends, so that is waited for. Raises StoreError."""
    from dcmrecv_core.delivery.postgresql.journal import lives
    from dcmrecv_core.delivery.postgresql.store import PostgresqlStore

    until = time.monotonic() + seconds
    told = False
    with closing(open_store(state_directory, make=True)) as store:
        assert isinstance(store, PostgresqlStore)
        while not store.take_name(place_of(state_directory)):
            if time.monotonic() > until:
                raise StoreError(
                    f"another receiver has the same {state_directory / NODE}: if the state directory was copied, "
                    "remove that file from the copy"
                )
            if not told:
                log.warning("another receiver has the name of this node, waiting until it ends")
                told = True
            time.sleep(0.5)
        store.renew_node(lives)  # before there are new workers, which may get the numbers of dead ones


def check_shared(url: str) -> None:
    """Whether the database can be used; nothing is made or changed. Raises StoreError."""
    _check_psycopg()
    from dcmrecv_core.delivery.postgresql.database import check_database

    check_database(url)


def _check_psycopg() -> None:
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise StoreError(
            f"a journal in PostgreSQL needs psycopg 3, which cannot be loaded ({error}): "
            "pip install 'dcmrecv[postgresql]'"
        ) from error
