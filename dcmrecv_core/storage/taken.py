"""A name that may be taken: what happens to the instance, and to the existing file.

    decide      what the policy (`OnExists`) says about an existing file
    TakenName   does that, even if other processes change names meanwhile

There are no locks, although several workers, receivers and other programs may work in one directory. A free name is
given by a link that does not replace. Under `replace-same` the existing file is exchanged for ours, and looked at again
when no other process can change it: if it is another instance after all, it gets a name of its own.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Literal, NamedTuple, Protocol

from dcmrecv_core.api.errors import NameTakenError, StorageError
from dcmrecv_core.api.verdicts import OnExists
from dcmrecv_core.storage.directories import Directory
from dcmrecv_core.storage.existing import Comparable, Existing, find_existing, identity_of
from dcmrecv_core.storage.handed_over import HandedOver
from dcmrecv_core.storage.hidden import Place
from dcmrecv_core.storage.other_names import CERTAIN, MAX_ATTEMPTS, marked, numbered
from dcmrecv_core.storage.system_calls import NO_EXCHANGE, NO_NOCLOBBER, rename_exchange
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

    `unconditional`: replace an existing file without looking at it, as DCMTK dcmrecv does. `command_uid`: the SOP
    Instance UID of the command if the data set came with another one, which may be wrong, and that of many instances.
    """

    content: Comparable
    on_exists: OnExists
    unconditional: bool
    who: Callable[[], str]
    command_uid: bytes = b""

    def is_same(self, existing: Existing, *, by_mark: bool) -> bool:
        """Whether that is the same instance; `by_mark`: it stands under a name marked for ours.

        If command and data set contradict each other, only such a name tells: files say what data sets say."""
        ours = identity_of(self.content.prefix)
        if ours is None or existing.sop_instance_uid != ours.sop_instance_uid:
            return False
        return by_mark or not self.is_doubtful(ours.sop_instance_uid)

    def marked_names(self, name: str, extension: str) -> Iterator[str]:
        """`name` with marks for this instance."""
        ours = identity_of(self.content.prefix)
        uid = b"" if ours is None else ours.sop_instance_uid
        if self.is_doubtful(uid):
            return marked(name, self.command_uid, extension, digits=CERTAIN)
        return marked(name, uid, extension)

    def is_doubtful(self, uid: bytes) -> bool:
        """Whether the SOP Instance UID of the file is not the one of the command."""
        return self.command_uid not in (b"", uid)


def decide(
    existing: Existing, new: NewFile, path: str, *, by_mark: bool
) -> Literal["kept", "dropped", "replace", "other name"]:
    """What to do about `existing`, the file at `path`; `by_mark` as of `NewFile.is_same`. Raises NameTakenError;
    StorageError if it should be kept but is not a whole file of this instance; OSError if it cannot be read."""
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
            return "replace" if new.is_same(existing, by_mark=by_mark) else "other name"
        case "keep":
            return _keepable(existing, new, by_mark)
    raise NameTakenError(DUPLICATE_SOP_INSTANCE if new.on_exists == "refuse" else StorageError("").status, path)


def names_for(name: str, new: NewFile, extension: str) -> Iterator[str]:
    """The names to try in turn, while the decision is "other name"."""
    yield name
    if new.on_exists == "rename":
        yield from (numbered(name, number, extension) for number in range(2, MAX_ATTEMPTS + 1))
    else:
        yield from new.marked_names(name, extension)


def _keepable(existing: Existing, new: NewFile, by_mark: bool) -> Literal["dropped", "other name"]:
    if existing.sop_instance_uid is not None and not new.is_same(existing, by_mark=by_mark):
        return "other name"
    if not existing.is_whole(new.content):
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
                what = decide(existing, self._new, path, by_mark=name != self._name)
                if what == "other name":
                    self._holder = self._holder or _described(existing, path)
                    return None
                if what != "replace":
                    if self._keep(existing, name, path, what):
                        return path, what
                elif self._replace(existing, name, path):
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

    def _keep(self, existing: Existing, name: str, path: str, what: Literal["kept", "dropped"]) -> bool:
        """Returns whether `existing` is durable under `name`; if not, it has lost that name meanwhile: a large file
        takes long to compare."""
        if self._output.fsync:
            existing.flush()  # its writer may not have flushed it yet, nor its name
        self._output.make_durable(self._directory)
        if not existing.has_name():
            return False
        if what == "dropped":
            text = "%s: another content has this name, dropping this one: %s"
            log.warning(text, self._new.who(), path)
        else:
            log.info("file already exists, keeping it: %s (%s)", path, self._new.who())
        return True

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
        if self._new.unconditional:
            # the first line is DCMTK dcmrecv's
            log.warning("file already exists, overwriting: %s\n  by %s", path, self._new.who())
        else:
            log.warning("file already exists, overwriting: %s (%s)", path, self._new.who())
        is_predecessor = handed_over is not None and self._is_predecessor(handed_over, existing, name)
        try:
            # If this fails, the sender gets a failure and sends again: the file of that name is complete.
            self._output.make_durable(self._directory)
        finally:
            # not before: until then a power cut may undo the exchange, not this
            if handed_over is not None and is_predecessor:
                handed_over.remove()
            elif handed_over is not None:
                handed_over.forget()
        return True

    def _is_predecessor(self, handed_over: HandedOver, existing: Existing, name: str) -> bool:
        """Whether the file that had the name is the one to be replaced; any other file is given a name again."""
        try:
            handed = find_existing(handed_over.hidden, handed_over.place.fd)
            if handed is None:
                return False  # another process has removed it
            with handed:
                if os.path.samestat(handed.status, existing.status):
                    return True
                if self._new.is_same(handed, by_mark=name != self._name):
                    return True
                # files were moved between our look and the exchange: this one has come under the name since
                other = handed_over.give_name(handed, self._directory, name, self._output.extension)
                if other is not None:
                    text = "%s: %s meanwhile, which is %s now"
                    log.warning(text, self._new.who(), _described(handed, self._path(name)), self._path(other))
                return False
        except BaseException:
            self._give_back(handed_over, name)
            raise

    def _give_back(self, handed_over: HandedOver, name: str) -> None:
        """The file that had the name cannot be handled: it gets its name again, and ours is dropped."""
        parent, hidden = handed_over
        try:
            rename_exchange(parent.fd, hidden, self._directory.fd, name)
            with suppress(FileNotFoundError):
                status = os.stat(hidden, dir_fd=parent.fd, follow_symlinks=False)
                if os.path.samestat(status, os.fstat(self._file().fd)):
                    handed_over.remove()
        except OSError as error:
            log.error(
                "%s: the file that was named %s is now %s/%s: %s", self._new.who(), name, parent.path, hidden, error
            )


def _described(existing: Existing, path: str) -> str:
    uid = existing.sop_instance_uid
    if uid is None:
        return f"{path} is not a readable DICOM file"
    return f"{path} is SOP instance {uid.decode('latin-1')}"
