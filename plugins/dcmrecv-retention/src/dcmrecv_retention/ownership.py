"""Whether a file is still the one that the receiver wrote, as far as the index tells."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from dcmrecv_core import stored_place
from dcmrecv_index.record import record_of_file
from dcmrecv_index.rows import rows_of
from dcmrecv_index.studies import IndexedInstance

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def what_is_wrong(instance: IndexedInstance, output: Path) -> str:
    """Why the file of an instance must not be removed, "" if it may be. One that is gone may be."""
    if instance.calling_ae_title is None:
        return f"{instance.location} was found by a rescan, and not written by the receiver"
    try:
        with stored_place(instance.location, str(output)) as place:
            if place is None:
                return f"{instance.location} is not below the output directory"
            directory, name = place
            fd = os.open(name, _FLAGS, dir_fd=directory)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{instance.location} cannot be opened: {error.strerror}"
    try:
        return what_is_wrong_with(Path(f"/proc/self/fd/{fd}"), instance)
    finally:
        os.close(fd)


def what_is_wrong_with(file: Path, instance: IndexedInstance) -> str:
    """The same of an existing file, wherever it is."""
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        return f"{instance.location} is no file"
    if status.st_mtime_ns > instance.received:
        return f"{instance.location} was changed after it had been received"
    try:
        record = record_of_file(file)
    except Exception as error:  # pydicom raises many kinds for broken files
        return f"{instance.location} cannot be read: {error}"
    if record is None or rows_of(record).instance["sop_instance_uid"] != instance.sop_instance_uid:
        return f"{instance.location} is not instance {instance.sop_instance_uid}"
    if record.size != instance.size:
        return f"{instance.location} has another size than what was received"
    return ""
