"""Of which studies something is still to be done: for plugins that remove what was stored."""

from __future__ import annotations

import errno
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcmrecv_core.delivery.store import FileState


def unfinished_studies(state_directory: Path) -> frozenset[str]:
    """The Study Instance UIDs of all studies in the queues of the receiver with this state directory: instances wait to
    be delivered, are being delivered, or were put aside; and of those that are not complete, if a plugin has
    `study_completed` or `series_completed`. An instance that was acknowledged before the call is seen.

    Raises OSError if the store or the journal cannot be read.
    """
    from dcmrecv_core.delivery.opening import open_store  # most receivers do not need one
    from dcmrecv_core.delivery.store import StoreError
    from dcmrecv_core.storage.journals.files import DIRECTORY

    try:
        with closing(open_store(state_directory)) as store:
            # the journal first: what is taken in meanwhile is in the store then
            recorded = _not_taken_in(state_directory / DIRECTORY, store.files())
            return frozenset(recorded | store.unfinished())
    except StoreError as error:
        raise OSError(errno.EIO, f"the store of deliveries cannot be read: {error}") from error


def _not_taken_in(directory: Path, known: dict[str, FileState]) -> set[str]:
    """Of the records that the journal process has not put into the queues yet."""
    from dcmrecv_core.delivery.events import study_key
    from dcmrecv_core.storage.journals.files import FILE_SIZE, SUFFIX
    from dcmrecv_core.storage.journals.records import read_records

    studies = set()
    for name in os.listdir(directory):
        if not name.endswith(SUFFIX):
            continue
        start = known[name].position if name in known else 0
        try:
            with open(directory / name, "rb") as file:
                data = os.pread(file.fileno(), FILE_SIZE, start)
        except FileNotFoundError:  # read to its end, and removed
            continue
        studies |= {study_key(read.record) for read in read_records(data, start) if read.record is not None}
    return studies
