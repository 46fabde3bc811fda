"""A name that may be taken: what becomes of the instance, and of what is there.

    verdict     what the policy (`OnExists`) says of a file that is looked at
    TakenName   does it, however others change names meanwhile

There are no locks: several workers, receivers and whoever moves files are at work in one directory. What is free is
taken by a link that does not replace. Under `replace-same` what is there is exchanged for ours and looked at once
more when nothing can change it any longer: if it is another instance after all, it gets a name of its own.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Literal, NamedTuple, Protocol

from dcmrecv_core.api.errors import NameTakenError, StorageError
from dcmrecv_core.api.model import OnExists
from dcmrecv_core.storage.directories import Directory
from dcmrecv_core.storage.existing import Comparable, Existing, identity_of, look
from dcmrecv_core.storage.handed_over import HandedOver
from dcmrecv_core.storage.hidden import Place
from dcmrecv_core.storage.other_names import CERTAIN, MAX_ATTEMPTS, marked, numbered
from dcmrecv_core.storage.renaming import NO_EXCHANGE, NO_NOCLOBBER, rename_exchange
from dcmrecv_core.storage.temporary import Temporary

log = logging.getLogger("dcmrecv.receive")

DUPLICATE_SOP_INSTANCE = 0x0111

_ROUNDS = 100
"""How often a name may change hands while we try to get it."""

How = Literal["new", "replaced", "kept", "dropped"]
"""What became of an instance: it is a new file; it has replaced one; the file that was there stays, and has the same
content or, "dropped", another."""


Published = tuple[str, How]
"""Where an instance is, and how it came to be there."""


class Wish(NamedTuple):
    """What is to be stored and what somebody said about names that are taken; `who` names sender and instance.

    `unseen`: replace whatever is there without looking at it, as dcmrecv does. `command_uid`: the SOP Instance UID of
    the command if the data set came with another one, which then may be wrong and many instances' at once.
    """

    content: Comparable
    on_exists: OnExists
    unseen: bool
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


def verdict(
    existing: Existing, wish: Wish, path: str, *, by_mark: bool
) -> Literal["kept", "dropped", "replace", "other name"]:
    """What to do about `path`, which `existing` has; `by_mark` as of `Wish.is_same`. Raises NameTakenError;
    StorageError if that should be kept and is not worth it; OSError if it cannot be looked at."""
    if wish.unseen:
        return "replace"
    if existing.holds(wish.content):
        return "kept"
    match wish.on_exists:
        case "overwrite":
            return "replace"
        case "rename":
            return "other name"
        case "replace-same":
            return "replace" if wish.is_same(existing, by_mark=by_mark) else "other name"
        case "keep":
            return _keepable(existing, wish, by_mark)
    raise NameTakenError(DUPLICATE_SOP_INSTANCE if wish.on_exists == "refuse" else StorageError("").status, path)


def names_for(name: str, wish: Wish, extension: str) -> Iterator[str]:
    """The names to try, one after the other, while the verdict is "other name"."""
    yield name
    if wish.on_exists == "rename":
        yield from (numbered(name, number, extension) for number in range(2, MAX_ATTEMPTS + 1))
    else:
        yield from wish.marked_names(name, extension)


def _keepable(existing: Existing, wish: Wish, by_mark: bool) -> Literal["dropped", "other name"]:
    if existing.sop_instance_uid is not None and not wish.is_same(existing, by_mark=by_mark):
        return "other name"
    if not existing.is_whole(wish.content):
        raise StorageError("What has the name is no whole file of this instance")
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
    """One instance on its way to a name that is taken, or that is to be looked at first."""

    def __init__(
        self, output: Output, directory: Directory, name: str, file: Callable[[], Temporary], wish: Wish
    ) -> None:
        """`file` returns the file to be named, which it writes when it is first called; it raises OSError."""
        self._output = output
        self._directory = directory
        self._name = name
        self._file = file
        self._wish = wish
        self._holder = ""  # of `_name`, if that is another instance or unreadable

    def settle(self) -> Published:
        """Store it, or find out that it is stored. Raises StatusError, OSError."""
        for name in names_for(self._name, self._wish, self._output.extension):
            published = self._try(name)
            if published is not None:
                if name != self._name and self._wish.on_exists != "rename":
                    log.warning("%s: %s, so it is %s", self._wish.who(), self._holder, published[0])
                return published
        raise StorageError("No free file name found")

    def _try(self, name: str) -> Published | None:
        """None: it has to get another name."""
        path = self._path(name)
        for _ in range(_ROUNDS):
            existing = look(name, self._directory.fd)
            if existing is None:
                if self._link(name):
                    return path, "new"
                continue
            with existing:
                what = verdict(existing, self._wish, path, by_mark=name != self._name)
                if what == "other name":
                    self._holder = self._holder or _described(existing, path)
                    return None
                if what != "replace":
                    return self._keep(existing, path, what)
                if self._replace(existing, name, path):
                    return path, "replaced"
        raise StorageError("The file name changes hands all the time")

    def _path(self, name: str) -> str:
        return f"{self._directory.path}/{name}"

    def _link(self, name: str) -> bool:
        """Whether it got the name, which was free."""
        temporary = self._file()
        try:
            temporary.link(self._directory, name)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_NOCLOBBER or self._wish.on_exists not in ("overwrite", "replace-same"):
                raise
            # names are given only by overwriting here: what came since we looked is lost
            temporary.replace(self._output.place_for(self._directory), self._directory, name)
            self._output.make_durable(self._directory)
        else:
            self._output.make_new_durable(self._directory, name, temporary)
        return True

    def _keep(self, existing: Existing, path: str, what: Literal["kept", "dropped"]) -> Published:
        if what == "dropped":
            text = "%s: another content has this name, dropping this one: %s"
            log.warning(text, self._wish.who(), path)
        else:
            log.info("file already exists, keeping it: %s (%s)", path, self._wish.who())
        if self._output.fsync:
            existing.flush()  # whoever made it may not have flushed it yet, nor its name
        self._output.make_durable(self._directory)
        return path, what

    def _replace(self, existing: Existing, name: str, path: str) -> bool:
        """Whether it took the name of `existing`; else that has lost its name meanwhile."""
        temporary = self._file()
        place = self._output.place_for(self._directory)
        handed_over = None
        if self._wish.on_exists == "replace-same":
            try:
                handed_over = temporary.exchange(place, self._directory, name)
            except FileNotFoundError:
                return False
            except OSError as error:
                if error.errno not in NO_EXCHANGE:
                    raise
        if handed_over is None:
            temporary.replace(place, self._directory, name)
        if self._wish.unseen:
            log.warning("file already exists, overwriting: %s", path)  # dcmrecv's line
        else:
            log.warning("file already exists, overwriting: %s (%s)", path, self._wish.who())
        is_predecessor = handed_over is not None and self._is_predecessor(handed_over, existing, name)
        try:
            # If this fails, the sender hears of it and sends again: what has the name is complete.
            self._output.make_durable(self._directory)
        finally:
            # not before: until then a power cut may undo the exchange, not this
            if handed_over is not None and is_predecessor:
                handed_over.remove()
            elif handed_over is not None:
                handed_over.forget()
        return True

    def _is_predecessor(self, handed_over: HandedOver, existing: Existing, name: str) -> bool:
        """Whether what had the name is what ours was to replace; anything else has got a name again."""
        try:
            handed = look(handed_over.hidden, handed_over.place.fd)
            if handed is None:
                return False  # somebody has removed it
            with handed:
                if os.path.samestat(handed.status, existing.status):
                    return True
                if self._wish.is_same(handed, by_mark=name != self._name):
                    return True
                # files were moved between our look and the exchange: this one has come under the name since
                other = handed_over.give_name(handed, self._directory, name, self._output.extension)
                if other is not None:
                    text = "%s: %s meanwhile, which is %s now"
                    log.warning(text, self._wish.who(), _described(handed, self._path(name)), self._path(other))
                return False
        except BaseException:
            self._give_back(handed_over, name)
            raise

    def _give_back(self, handed_over: HandedOver, name: str) -> None:
        """Nothing can be done with what was handed over: it gets its name again, and ours is dropped."""
        place, hidden = handed_over
        try:
            rename_exchange(place.fd, hidden, self._directory.fd, name)
            with suppress(FileNotFoundError):
                status = os.stat(hidden, dir_fd=place.fd, follow_symlinks=False)
                if os.path.samestat(status, os.fstat(self._file().fd)):
                    handed_over.remove()
        except OSError as error:
            log.error("%s: what had the name %s is %s/%s: %s", self._wish.who(), name, place.path, hidden, error)


def _described(existing: Existing, path: str) -> str:
    uid = existing.sop_instance_uid
    if uid is None:
        return f"{path} is no DICOM file that can be read"
    return f"{path} is SOP instance {uid.decode('latin-1')}"
