"""Opens the store of a receiver: in its state directory, or in the database that `--journal` names.

A process of a receiver knows the URL from its settings. Any other finds it in the state directory, without the
password: that is for libpq to find (PGPASSWORD, ~/.pgpass), or in the settings file that is given to dcmrecvctl.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dcmrecv_core.delivery.store import StoreError

if TYPE_CHECKING:
    from dcmrecv_core.delivery.store import Store
    from dcmrecv_core.settings.settings import Settings

URL_FILE = "journal-url"
"""In the state directory."""

_known: dict[str, str] = {}


def use(settings: Settings) -> None:
    """Remember the database of this receiver, for this process and those that are forked from it."""
    if settings.journal is not None:
        _known[str(settings.state_directory)] = settings.journal


def note_url(settings: Settings) -> None:
    """Note in the state directory which database the receiver uses. Raises OSError, StoreError."""
    use(settings)
    path = settings.state_directory / URL_FILE
    if settings.journal is None:
        with suppress(FileNotFoundError):
            path.unlink()
        return
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


def _noted(state_directory: Path) -> str | None:
    try:
        return (state_directory / URL_FILE).read_text().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{state_directory / URL_FILE} cannot be read: {error.strerror}") from error


def open_shared(url: str, state_directory: Path, *, make: bool = False) -> Store:
    """Raises StoreError."""
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        text = "a journal in PostgreSQL needs psycopg 3: pip install 'dcmrecv[postgresql]'"
        raise StoreError(text) from error
    from dcmrecv_core.delivery.postgresql.store import PostgresqlStore
    from dcmrecv_core.storage.shared_journal import node_of

    try:
        return PostgresqlStore.open(url, node_of(state_directory), make=make)
    except OSError as error:
        raise StoreError(f"state directory {state_directory} cannot be used: {error.strerror}") from error
