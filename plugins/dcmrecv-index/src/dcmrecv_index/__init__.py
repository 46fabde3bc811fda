"""A database of what dcmrecv received: patients, studies, series, instances.

The way of an instance:

    hook `stored` -> record.py: its raw elements, one JSON line
      -> queue.py: appended to the worker's own file in the state directory       (the sender waits until here)
        -> hook `background`, feeder.py: batches of lines in their order (queue_order.py), committed together with the
           position reached; records that cannot be stored are put aside (put_aside.py)
          -> rows.py: decoded, keyed -> database.py, tables.py: upserted; conflicts.py: which patient a study belongs to

The hooks are here; rescan.py makes records from files; find.py queries; commands.py is the program that runs both.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from dcmrecv_core import Instance, PluginError, PluginOptions, PluginSettings, hookimpl
from dcmrecv_index.queue import QueueWriter, moment
from dcmrecv_index.record import record_of


class IndexPlugin:
    """The hooks; a worker has one open queue file."""

    def __init__(self) -> None:
        self._writer: QueueWriter | None = None

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
        url = _given_url(settings)
        if url is None:
            return
        from dcmrecv_index.database import checked_url  # SQLAlchemy takes longer to load than all of the receiver

        try:
            checked_url(url)
        except ValueError as error:
            raise PluginError(f"--index-url: {error}") from None

    @hookimpl
    def worker_started(self, settings: PluginSettings) -> None:
        self._writer = QueueWriter(queue_directory(settings))

    @hookimpl
    def worker_stopping(self) -> None:
        if self._writer is not None:
            self._writer.close()

    @hookimpl
    def stored(self, instance: Instance, location: str) -> None:
        """The sender waits for this: less than 0.1 ms."""
        if self._writer is not None:
            at = moment()
            self._writer.append(record_of(instance, location, time.time_ns(), at).to_line(), at)

    @hookimpl
    def background(self, settings: PluginSettings) -> None:
        from dcmrecv_index.database import sqlite_url
        from dcmrecv_index.feeder import feed

        os.nice(10)  # receiving comes first
        feed(_given_url(settings) or sqlite_url(settings.state_directory), queue_directory(settings))


plugin = IndexPlugin()


def queue_directory(settings: PluginSettings) -> Path:
    return settings.state_directory / "index-queue"


def _given_url(settings: PluginSettings) -> str | None:
    url: str | None = settings.options.get("index_url")
    return url
