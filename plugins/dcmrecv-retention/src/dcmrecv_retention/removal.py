"""A study is removed in steps, so that nothing is lost that comes again meanwhile, whenever the process is killed:

1. Its files are noted, then moved to `.dcmrecv/retention` in the output directory. From now on the receiver stores an
   instance of it anew.
2. `SETTLE_SECONDS` later every instance that the receiver has acknowledged because its old file was there stands in
   the journal. If there is any, or the index has got another, all files are put back.
3. Otherwise it is noted that they go. The index forgets them, then they are removed.

A start puts back what is noted in step 1, and goes on with what is noted in step 3.
"""

from __future__ import annotations

import errno
import filecmp
import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from dcmrecv_core import stored_place
from dcmrecv_index.database import Database
from dcmrecv_index.studies import IndexedInstance, forget, instances_of
from dcmrecv_retention.notes import Aside, Notes
from dcmrecv_retention.ownership import what_is_wrong_with

log = logging.getLogger("dcmrecv.retention")

SETTLE_SECONDS = 5.0
"""A worker has at most so long to note what it has decided by an existing file: it takes it some milliseconds."""

_DIRECTORY = Path(".dcmrecv", "retention")
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)


class Removal:
    """Moves files below `output`, and notes what it does."""

    def __init__(self, output: Path, notes: Notes) -> None:
        self._output = output
        self._aside = output / _DIRECTORY
        self._notes = notes

    def recover(self, database: Database) -> None:
        """Finish what a process has left. Raises DatabaseError, OSError."""
        noted = self._notes.of()
        decided = {each.study for each in noted if each.decided}
        self.finish(database, sorted(decided))
        for study in dict.fromkeys(each.study for each in noted if each.study not in decided):
            self.put_back(study)
            log.warning("study %s is kept for now: its removal was interrupted", study)

    def set_aside(self, study: str, instances: Sequence[IndexedInstance]) -> str:
        """Step 1. Returns why the study has to be put back, "" if it has not. Raises OSError."""
        os.makedirs(self._aside, mode=0o700, exist_ok=True)
        self._notes.note(study, instances)
        for number, _, instance, _ in self._notes.of(study):
            aside = self._aside / str(number)
            try:
                with stored_place(instance.location, str(self._output)) as place:
                    if place is None:
                        return f"{instance.location} is not below the output directory"
                    directory, name = place
                    os.rename(name, aside, src_dir_fd=directory)
            except FileNotFoundError:
                continue
            except OSError as error:
                return f"{instance.location} cannot be moved: {error.strerror}"
            if wrong := what_is_wrong_with(aside, instance):
                return wrong
        return ""

    def is_unchanged(self, database: Database, study: str) -> bool:
        """Whether the index has the same instances as when it was set aside. Raises DatabaseError."""
        return sorted(instances_of(database, study)) == sorted(each.instance for each in self._notes.of(study))

    def put_back(self, study: str) -> None:
        """Raises OSError: it is noted still, and will be put back by the next start."""
        for each in self._notes.of(study):
            aside = self._aside / str(each.number)
            if os.path.lexists(aside):
                self._put_back(aside, each)
        self._notes.forget(study)

    def _put_back(self, aside: Path, each: Aside) -> None:
        location = each.instance.location
        os.makedirs(os.path.dirname(location), exist_ok=True)
        with stored_place(location, str(self._output)) as place:
            if place is None:
                raise OSError(errno.EINVAL, "It is not below the output directory", location)
            directory, name = place
            mark = hashlib.sha256(each.instance.sop_instance_uid.encode()).hexdigest()[:8]
            for free in (name, f"{name}~{mark}", f"{name}~{mark}~{each.number}"):
                try:
                    _link(aside, directory, free)
                except FileExistsError:
                    if free == name and _is_equal(aside, Path(location)):
                        break  # it was sent again meanwhile
                    continue
                if free != name:
                    log.error("%s: something else has this name now; it is put back as %s", location, free)
                break
            os.fsync(directory)
            aside.unlink(missing_ok=True)

    def decide(self, study: str) -> None:
        """Step 3 begins."""
        self._notes.decide(study)

    def finish(self, database: Database, studies: Sequence[str]) -> None:
        """The rest of step 3. Raises DatabaseError, OSError: the next start goes on."""
        noted = [each for study in studies for each in self._notes.of(study)]
        if noted:
            with database.writing():
                forget(database, [each.instance for each in noted])
        for each in noted:
            (self._aside / str(each.number)).unlink(missing_ok=True)
        for study in studies:
            self._notes.forget(study)


def _is_equal(aside: Path, path: Path) -> bool:
    """Whether both have the same bytes: an instance that came with others may be kept beside the one put back."""
    try:
        return filecmp.cmp(aside, path, shallow=False)
    except OSError:
        return False


def _link(aside: Path, directory: int, name: str) -> None:
    """Raises FileExistsError if the name is taken."""
    try:
        os.link(aside, name, dst_dir_fd=directory, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # a file system without hard links: the directory is private to the receiver, and it uses this name no more
        if os.path.lexists(f"/proc/self/fd/{directory}/{name}"):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name) from error
        os.rename(aside, name, dst_dir_fd=directory)
