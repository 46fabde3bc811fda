"""A database of what dcmrecv received: patients, studies, series, instances.

The way of an instance:

    hook `stored` -> record.py: its raw elements, one JSON line
      -> queue.py: appended to the worker's own file in the state directory          (all that a sender waits for)
        -> hook `background`, feeder.py: batches of lines in their order (arrivals.py), committed with the place read
           up to; what cannot be stored is put aside (put_aside.py)
          -> rows.py: decoded, keyed -> database.py, tables.py: upserted; conflicts.py: whose study it is

The hooks are here; rescan.py takes records from files instead of the queue; find.py asks; commands.py is the
command line of the latter two.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from dcmrecv_core import Instance, PluginError, PluginOptions, Settings, hookimpl
from dcmrecv_index.queue import QueueWriter, moment
from dcmrecv_index.record import record_of

_writer: QueueWriter | None = None


@hookimpl
def add_options(options: PluginOptions) -> None:
    options.add(
        "--index-url",
        value="url",
        help="database: postgresql://... or sqlite:////... (default: index.sqlite in the state directory)",
        secret=True,  # it may have a password in it
    )


@hookimpl
def configure(settings: Settings) -> None:
    """Refuse what cannot be used; nothing is opened here."""
    url = _given_url(settings)
    if url is None:
        return
    from dcmrecv_index.database import checked_url  # SQLAlchemy takes longer to load than all of the receiver

    try:
        checked_url(url)
    except ValueError as error:
        raise PluginError(f"--index-url: {error}") from None


@hookimpl
def worker_started(settings: Settings) -> None:
    global _writer
    _writer = QueueWriter(queue_directory(settings))


@hookimpl
def worker_stopping() -> None:
    if _writer is not None:
        _writer.close()


@hookimpl
def stored(instance: Instance, location: str) -> None:
    """All that the sender waits for: less than 0.1 ms. What `--on-duplicate keep` has dropped is in no file."""
    if _writer is not None and not instance.state.get("dropped"):
        at = moment()
        _writer.append(record_of(instance, location, time.time_ns(), at).to_line(), at)


@hookimpl
def background(settings: Settings) -> None:
    from dcmrecv_index.database import sqlite_url
    from dcmrecv_index.feeder import feed

    os.nice(10)  # receiving comes first
    feed(_given_url(settings) or sqlite_url(settings.state_directory), queue_directory(settings))


def queue_directory(settings: Settings) -> Path:
    return settings.state_directory / "index-queue"


def _given_url(settings: Settings) -> str | None:
    url: str | None = settings.options.get("index_url")
    return url
