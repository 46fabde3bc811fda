"""What an exchange has handed over, until it is removed or has a name again, also if the process is killed meanwhile.

    .dcmrecv-TOKEN-N.old.tmp   the hidden name of an exchange: before it, of the new file; then of what had the name
    .dcmrecv-TOKEN-N.at.tmp    a link that is never followed: its text is the name, from the output directory on

What has the first name after the end of its process may be the only copy of an instance that was acknowledged: files
were moved between our look and the exchange. So it is never just swept. If the same instance stands under the name,
whole, it is removed; else it gets a name of its own.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from dcmrecv_core.api.errors import StatusError
from dcmrecv_core.storage.directories import Directories, Directory
from dcmrecv_core.storage.existing import Existing, find_existing
from dcmrecv_core.storage.other_names import marked
from dcmrecv_core.storage.system_calls import rename_noreplace

log = logging.getLogger("dcmrecv.receive")

OLD, AT = ".old.tmp", ".at.tmp"


def old_name(hidden: str) -> str:
    """The name for an exchange that is made from `hidden`, which may be one already."""
    return hidden if hidden.endswith(OLD) else f"{hidden.removesuffix('.tmp')}{OLD}"


class HandedOver(NamedTuple):
    """What stands under `hidden` in `place`."""

    place: Directory
    hidden: str

    def note(self, directory: Directory, name: str) -> None:
        """Before the exchange: whose name it is. Raises nothing: without a note it is kept, should we be killed."""
        text = f"{directory.inner_path}/{name}".lstrip("/")
        with suppress(OSError):
            try:
                os.symlink(text, self._note, dir_fd=self.place.fd)
            except FileExistsError:  # it was to be exchanged for another one before
                self.forget()
                os.symlink(text, self._note, dir_fd=self.place.fd)

    def forget(self) -> None:
        """It has another name, or is none that anyone needs. Raises nothing."""
        try:
            os.unlink(self._note, dir_fd=self.place.fd)
        except FileNotFoundError:
            pass
        except OSError as error:
            log.warning("cannot remove %s, which is removed later: %s", self._note, error)

    def remove(self) -> None:
        """Remove the file: no process needs it any longer. Raises nothing."""
        try:
            os.unlink(self.hidden, dir_fd=self.place.fd)
        except FileNotFoundError:
            pass  # another receiver has come to the same end
        except OSError as error:
            log.warning("cannot remove %s, which is removed later: %s", self.hidden, error)
            return
        self.forget()

    def give_name(self, handed: Existing, directory: Directory, name: str, extension: str) -> str | None:
        """Give it a name of its own: `name` with a mark. None if another receiver has done so. Raises OSError."""
        uid = handed.sop_instance_uid
        names: Iterable[str] = () if uid is None else marked(name, uid, extension)
        for other in (*names, *marked(name, secrets.token_bytes(), extension)):
            try:
                rename_noreplace(self.place.fd, self.hidden, directory.fd, other)
            except FileExistsError:
                continue
            except FileNotFoundError:
                if find_existing(self.hidden, self.place.fd) is not None:
                    raise  # the directory is gone
                return None
            return other
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), name)

    @property
    def _note(self) -> str:
        return self.hidden.removesuffix(OLD) + AT

    def _noted(self) -> tuple[tuple[str, ...], str] | None:
        """The directory and the name from the note."""
        try:
            *parts, name = os.readlink(self._note, dir_fd=self.place.fd).split("/")
        except OSError:
            return None
        return (tuple(parts), name) if name and not {"", ".", ".."} & {*parts, name} else None

    def settle(self, directories: Directories) -> None:
        """After the end of its process: remove it if it is not needed, else give it a name again, below the output
        directory of `directories`. Raises nothing."""
        path = f"{self.place.path}/{self.hidden}"
        try:
            handed = find_existing(self.hidden, self.place.fd)
            noted = self._noted()
            if handed is None:
                self.forget()
            elif noted is None:
                self._keep()
            else:
                directory = directories.get(noted[0])
                with handed:
                    if _stands_there(handed, directory, noted[1]):
                        os.fsync(directory.fd)  # or a power cut may undo the exchange, and not this
                        self.remove()
                        return
                    other = self.give_name(handed, directory, noted[1], "")
                os.fsync(directory.fd)
                self.forget()
                if other is not None:
                    text = (
                        "a receiver was killed when it had replaced %s/%s, which is not there any longer: it is %s/%s"
                    )
                    log.warning(text, directory.path, noted[1], directory.path, other)
        except (OSError, StatusError) as error:
            log.error("%s, left by a dead process, is perhaps the only copy of an instance: %s", path, error)

    def _keep(self) -> None:
        """Nothing tells where it was: it gets a name that no start looks at again. Raises OSError."""
        kept = f"{self.hidden.removesuffix(OLD)}.kept"
        with suppress(FileNotFoundError):  # another receiver does the same
            rename_noreplace(self.place.fd, self.hidden, self.place.fd, kept)
            text = "%s/%s, left by a dead process, is perhaps the only copy of an instance; where it was is not known"
            log.error(text, self.place.path, kept)
        self.forget()


def _stands_there(handed: Existing, directory: Directory, name: str) -> bool:
    """Whether that name has the same instance, whole. Raises OSError, StorageError."""
    there = find_existing(name, directory.fd)
    if there is None:
        return False
    with there:
        if os.path.samestat(there.status, handed.status):
            return True
        uid = handed.sop_instance_uid
        if uid is None or there.sop_instance_uid != uid:
            return False
        return there.holds(handed) or there.is_whole(handed)
