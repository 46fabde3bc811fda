"""A database of what dcmrecv received: patients, studies, series, instances.

The way of an instance:

    hook `deliver_many` -> deliveries.py: events, one transaction
      -> record.py: raw elements, read from the file that was stored
        -> rows.py: decoded, keyed
          -> write.py, conflicts.py: upserted; which patient a study belongs to
            -> database.py, schema.py: SQLite or PostgreSQL; the tables, their versions

The hooks are here; old_queue.py takes over what an earlier version left; rescan.py finds files; find.py and senders.py
query; commands.py is the program that runs them; kept.py tells other plugins what is there, studies.py those that
remove it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dcmrecv_core import PluginError, PluginOptions, PluginSettings, StoredEvent, hookimpl

if TYPE_CHECKING:
    from dcmrecv_index.deliveries import Deliveries


class IndexPlugin:
    """The hooks; a delivery process has one connection."""

    def __init__(self) -> None:
        self._deliveries: Deliveries | None = None

    @hookimpl
    def add_options(self, options: PluginOptions) -> None:
        options.add(
            "--index-url",
            value="url",
            help="database: postgresql://... or sqlite:////... (default: index.sqlite in the state directory)",
            secret=True,  # it may have a password in it
        )

    @hookimpl
    def configure(self, settings: PluginSettings) -> None:
        """Refuse a URL that cannot be used; the database is not opened here."""
        try:
            _database_of(settings)
        except ValueError as error:
            raise PluginError(f"--index-url: {error}") from None

    @hookimpl
    def delivery_started(self, settings: PluginSettings) -> None:
        from dcmrecv_index.deliveries import Deliveries  # loads pydicom

        self._deliveries = Deliveries(_database_of(settings), settings.state_directory)

    @hookimpl
    def delivery_stopping(self) -> None:
        if self._deliveries is not None:
            self._deliveries.close()

    @hookimpl
    def deliver_many(self, events: Sequence[StoredEvent], target: str) -> None:
        if self._deliveries is None:
            raise PluginError("dcmrecv-index has not been started")
        self._deliveries.index(events)


plugin = IndexPlugin()


def _database_of(settings: PluginSettings) -> str | Path:
    from dcmrecv_index.database import checked_url, index_file

    url: str | None = settings.options.get("index_url")
    return index_file(settings.state_directory) if url is None else checked_url(url)
