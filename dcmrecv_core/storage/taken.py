"""A name that may be taken: what happens to the instance, and to the existing file.

    decide      what the policy (`OnExists`) says about an existing file
    TakenName   does that, even if other processes change names meanwhile

There are no locks, although several workers, receivers and other programs may work in one directory. A free name is
given by a link that does not replace. Under `replace-same` the existing file is exchanged for ours, and looked at again
when no other process can change it: if it is another instance after all, it gets a name of its own.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Literal, NamedTuple, Protocol

from dcmrecv_core.api.errors import NameTakenError, StorageError
from dcmrecv_core.api.verdicts import OnExists
from dcmrecv_core.storage.directories import Directory
from dcmrecv_core.storage.existing import Comparable, Existing, find_existing, identity_of
from dcmrecv_core.storage.hidden import Place
from dcmrecv_core.storage.other_names import MAX_ATTEMPTS, marked, numbered
from dcmrecv_core.storage.renaming import NO_EXCHANGE, NO_NOCLOBBER, rename_exchange, rename_noreplace
from dcmrecv_core.storage.temporary import Temporary

log = logging.getLogger("dcmrecv.receive")

DUPLICATE_SOP_INSTANCE = 0x0111

_MOST_TRIES = 100
"""How often we try to get a name that other processes keep giving and removing."""

How = Literal["new", "replaced", "kept", "dropped"]
"""What happened to an instance: it is a new file; it has replaced one; or the existing file was kept, which has the
same content ("kept") or another one ("dropped")."""


Published = tuple[str, How]
"""The path of the instance, and what happened to it."""


class NewFile(NamedTuple):
    """A file to be stored, and the policy for taken names; `who` returns sender and instance for the log.

    `unconditional`: replace an existing file without looking at it, as DCMTK dcmrecv does.
    """

    content: Comparable
    on_exists: OnExists
    unconditional: bool
    who: Callable[[], str]


def decide(existing: Existing, new: NewFile, path: str) -> Literal["kept", "dropped", "replace", "other name"]:
    """What to do about `existing`, the file at `path`. Raises NameTakenError; StorageError if it should be kept but is
    not a whole file of this instance; OSError if it cannot be read."""
    if new.unconditional:
        return "replace"
    if existing.holds(new.content):
        return "kept"
    match new.on_exists:
        case "overwrite":
            return "replace"
        case "rename":
            return "other name"
        case "replace-same":
            return "replace" if _is_same(existing, new.content) else "other name"
        case "keep":
            return _keepable(existing, new.content)
    raise NameTakenError(DUPLICATE_SOP_INSTANCE if new.on_exists == "refuse" else StorageError("").status, path)


def names_for(name: str, new: NewFile, extension: str) -> Iterator[str]:
    """The names to try in turn, while the decision is "other name"."""
    yield name
    if new.on_exists == "rename":
        yield from (numbered(name, number, extension) for number in range(2, MAX_ATTEMPTS + 1))
    else:
        ours = identity_of(new.content.prefix)
        yield from marked(name, b"" if ours is None else ours.sop_instance_uid, extension)


def _is_same(existing: Existing, content: Comparable) -> bool:
    ours = identity_of(content.prefix)
    return ours is not None and existing.sop_instance_uid == ours.sop_instance_uid


def _keepable(existing: Existing, content: Comparable) -> Literal["dropped", "other name"]:
    if existing.sop_instance_uid is not None and not _is_same(existing, content):
        return "other name"
    if not existing.is_whole():
        raise StorageError("The existing file is not a whole file of this instance")
    return "dropped"


class Output(Protocol):
    """The output directory, as far as a taken name needs it; `Publisher` is one."""

    fsync: bool
    extension: str

    def place_for(self, directory: Directory) -> Place:
        """Where a hidden file for `directory` may stand."""

    def make_durable(self, directory: Directory) -> None:
        """Flush `directory`."""

    def make_new_durable(self, directory: Directory, name: str, temporary: Temporary) -> None:
        """Flush `directory`, in which `temporary` has got the free name `name`; if that fails, take the name back."""


class TakenName:
    """Stores one instance under a name that is taken, or that has to be looked at first."""

    def __init__(
        self, output: Output, directory: Directory, name: str, file: Callable[[], Temporary], new: NewFile
    ) -> None:
        """`file` returns the file to be named, which it writes when it is first called; it raises OSError."""
        self._output = output
        self._directory = directory
        self._name = name
        self._file = file
        self._new = new
        self._holder = ""  # describes what has `_name`, if it is another instance or unreadable

    def store(self) -> Published:
        """Store it, or find that it is stored already. Raises StatusError, OSError."""
        for name in names_for(self._name, self._new, self._output.extension):
            published = self._try(name)
            if published is not None:
                if name != self._name and self._new.on_exists != "rename":
                    log.warning("%s: %s, so it is %s", self._new.who(), self._holder, published[0])
                return published
        raise StorageError("No free file name found")

    def _try(self, name: str) -> Published | None:
        """Returns None if the instance needs another name."""
        path = self._path(name)
        for _ in range(_MOST_TRIES):
            existing = find_existing(name, self._directory.fd)
            if existing is None:
                if self._link(name):
                    return path, "new"
                continue
            with existing:
                what = decide(existing, self._new, path)
                if what == "other name":
                    self._holder = self._holder or _described(existing, path)
                    return None
                if what != "replace":
                    return self._keep(existing, path, what)
                if self._replace(existing, name, path):
                    return path, "replaced"
        raise StorageError("Other processes keep changing the file name")

    def _path(self, name: str) -> str:
        return f"{self._directory.path}/{name}"

    def _link(self, name: str) -> bool:
        """Returns whether the instance got the free name."""
        temporary = self._file()
        try:
            temporary.link(self._directory, name)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_NOCLOBBER or self._new.on_exists not in ("overwrite", "replace-same"):
                raise
            # this file system can only overwrite: a file that came since we looked is lost
            temporary.replace(self._output.place_for(self._directory), self._directory, name)
            self._output.make_durable(self._directory)
        else:
            self._output.make_new_durable(self._directory, name, temporary)
        return True

    def _keep(self, existing: Existing, path: str, what: Literal["kept", "dropped"]) -> Published:
        if what == "dropped":
            text = "%s: another content has this name, dropping this one: %s"
            log.warning(text, self._new.who(), path)
        else:
            log.info("file already exists, keeping it: %s", path)
        if self._output.fsync:
            existing.flush()  # its writer may not have flushed it yet, nor its name
        self._output.make_durable(self._directory)
        return path, what

    def _replace(self, existing: Existing, name: str, path: str) -> bool:
        """Returns whether the instance took the name of `existing`; if not, that has lost its name meanwhile."""
        temporary = self._file()
        place = self._output.place_for(self._directory)
        handed_over = None
        if self._new.on_exists == "replace-same":
            try:
                handed_over = temporary.exchange(place, self._directory, name)
            except FileNotFoundError:
                return False
            except OSError as error:
                if error.errno not in NO_EXCHANGE:
                    raise
        if handed_over is None:
            temporary.replace(place, self._directory, name)
        log.warning("file already exists, overwriting: %s", path)
        is_predecessor = handed_over is not None and self._is_predecessor(*handed_over, existing, name)
        try:
            # If this fails, the sender gets a failure and sends again: the file of that name is complete.
            self._output.make_durable(self._directory)
        finally:
            if handed_over is not None and is_predecessor:
                _remove(*handed_over)  # only now: before, a power cut might undo the exchange but not this
        return True

    def _is_predecessor(self, parent: Directory, hidden: str, existing: Existing, name: str) -> bool:
        """Whether the file that had the name is the one to be replaced; any other file is given a name again."""
        try:
            replaced = find_existing(hidden, parent.fd)
            if replaced is None:
                return False  # another process has removed it
            with replaced:
                if os.path.samestat(replaced.status, existing.status) or _is_same(replaced, self._new.content):
                    return True
                self._give_other_name(parent, hidden, replaced, name)
                return False
        except BaseException:
            self._give_back(parent, hidden, name)
            raise

    def _give_other_name(self, parent: Directory, hidden: str, replaced: Existing, name: str) -> None:
        """Give another name to a file that got `name` after we looked and before the exchange."""
        uid = replaced.sop_instance_uid
        extension = self._output.extension
        names = () if uid is None else marked(name, uid, extension)
        for other in (*names, *marked(name, secrets.token_bytes(), extension)):
            with suppress(FileExistsError):
                rename_noreplace(parent.fd, hidden, self._directory.fd, other)
                text = "%s: %s meanwhile, which is %s now"
                log.warning(text, self._new.who(), _described(replaced, self._path(name)), self._path(other))
                return
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), name)

    def _give_back(self, parent: Directory, hidden: str, name: str) -> None:
        """The file that had the name cannot be handled: it gets its name again, and ours is dropped."""
        try:
            rename_exchange(parent.fd, hidden, self._directory.fd, name)
            with suppress(FileNotFoundError):
                status = os.stat(hidden, dir_fd=parent.fd, follow_symlinks=False)
                if os.path.samestat(status, os.fstat(self._file().fd)):
                    _remove(parent, hidden)
        except OSError as error:
            log.error(
                "%s: the file that was named %s is now %s/%s: %s", self._new.who(), name, parent.path, hidden, error
            )


def _described(existing: Existing, path: str) -> str:
    uid = existing.sop_instance_uid
    if uid is None:
        return f"{path} is not a readable DICOM file"
    return f"{path} is SOP instance {uid.decode('latin-1')}"


def _remove(parent: Directory, hidden: str) -> None:
    try:
        os.unlink(hidden, dir_fd=parent.fd)
    except OSError as error:
        log.warning("cannot remove %s, which is removed later: %s", hidden, error)
