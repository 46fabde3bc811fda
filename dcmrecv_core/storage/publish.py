"""From bytes to a file under its name: whole or not at all, and durable before it is confirmed.

The order is fixed: write, flush the file, publish the name, flush the directory. Where one journal keeps the order, a
new file needs one flush: write the data out, publish the name, flush the file. A flush that failed is never tried
again, because the kernel may have dropped the pages by then.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from dcmrecv_core.api.verdicts import OnExists
from dcmrecv_core.storage.directories import TEMPORARY_PARTS, Directories, Directory, storage_error
from dcmrecv_core.storage.existing import Comparable
from dcmrecv_core.storage.hidden import HiddenFiles, Place, Tokens
from dcmrecv_core.storage.system_calls import NO_NOCLOBBER
from dcmrecv_core.storage.taken import NewFile, Published, TakenName
from dcmrecv_core.storage.temporary import (
    NO_TMPFILE,
    Capabilities,
    Temporary,
    inherited_from,
    open_hidden,
    open_unnamed,
)

log = logging.getLogger("dcmrecv.receive")

_UNLESS_IT_FAILS = suppress(OSError)
_LOOKED_AT_FIRST = ("overwrite", "rename", "keep")
"""Under these policies names are often taken, so the existing file is looked at before anything is written."""


class Content(Comparable, Protocol):
    """A complete file in the making."""

    def write_to(self, fd: int) -> None:
        """Write all of it to `fd`, from its current position; raises OSError."""

    def file(self) -> Temporary | None:
        """The temporary file that already has this content and has no name yet; None if it must be written. The
        content's maker closes it. Raises OSError if the content is lost."""


class Publisher:
    """Puts files below one output directory: atomically, without overwriting if asked, durable with `fsync`, by two
    flushes everywhere with `strict_fsync`.

    `extension` is that of `-fe`, `on_duplicate` that of `--on-duplicate`; `tokens` are those of the receiver's state
    directory, None if it owns none.
    """

    def __init__(
        self,
        root: str,
        start: str = "",
        *,
        fsync: bool,
        strict_fsync: bool = False,
        capabilities: Capabilities,
        tokens: Tokens | None = None,
        extension: str = "",
        on_duplicate: OnExists | None = None,
    ) -> None:
        self.directories = Directories(root, start, strict_fsync=strict_fsync)
        self.fsync = fsync
        self.extension = extension
        self.on_exists: OnExists = on_duplicate or "replace-same"
        """The policy for a name without one of its own."""
        self._capabilities = capabilities
        self._hidden = HiddenFiles(tokens, self.directories)
        self._last: Directory | None = None
        self._spare: Temporary | None = None  # in that directory
        self._spool_is_of: Directory | None = None
        """The directory whose group, mode and ACL the file of `open_spool` has; None if it is not known."""

    def open_spool(self) -> Temporary:
        """A temporary file on the output directory's file system, to receive into; raises StorageError."""
        try:
            root = self.directories.get(())
            temporary = self.open_file(root)
            self._spool_is_of = temporary.made_in(root)
            return temporary
        except OSError as error:
            raise storage_error(error, "Cannot create file") from error

    def open_spare(self) -> None:
        """Open the file for the next instance in advance, in the directory of the last one. Raises nothing; if that
        fails, it is tried again when the file is needed."""
        if self._spare is None and self._last is not None and self._capabilities.unnamed:
            with _UNLESS_IT_FAILS:
                self._spare = Temporary(open_unnamed(self._last))

    def idle(self) -> None:
        """No instance is expected soon: close the spare file."""
        self._last = None
        if self._spare is not None:
            self._spare.close()
            self._spare = None

    def renew(self, now: float) -> None:
        """Call this regularly, with the monotonic time, so that files open for hours do not count as abandoned."""
        self._hidden.renew(now)

    def close(self) -> None:
        """Call this when no more instances are stored."""
        self.idle()
        self._hidden.close()

    def publish(
        self,
        parts: tuple[str, ...],
        name: str,
        on_exists: OnExists,
        content: Content,
        *,
        compare: bool = False,
        who: Callable[[], str] = str,
        command_uid: bytes = b"",
    ) -> Published:
        """Store `content` as `name` in the directory `parts`, or under another name if `on_exists` says so.

        A file with the same content is kept; with "overwrite" only if `compare` is true. `who` returns sender and
        instance for the log; `command_uid` is the SOP Instance UID of the command if the data set came with another
        one. Raises StorageError (A700) and leaves nothing; NameTakenError if the name is taken and `on_exists` is
        "retry" or "refuse". As long as the content is not published, it can be tried under another name.
        """
        new = NewFile(content, on_exists, on_exists == "overwrite" and not compare, who, command_uid)
        directory = self.directories.get(parts)
        try:
            try:
                return self._store(directory, name, content, new)
            except OSError as error:
                if error.errno != errno.EXDEV or directory.on_other_mount:
                    raise
                # the same file system mounted twice: its number is the same, but links between the mounts fail
                directory.on_other_mount = True
                return self._store(directory, name, content, new)
        except OSError as error:
            raise storage_error(error, "Cannot store file") from error

    def _store(self, directory: Directory, name: str, content: Content, new: NewFile) -> Published:
        if not new.unconditional and new.on_exists in _LOOKED_AT_FIRST:
            draft = Draft(self, directory, content)
            try:
                return TakenName(self, directory, name, draft.file, new).store()
            finally:
                draft.close()
        temporary = content.file()
        if temporary is not None and self.suits(temporary, directory):
            return self._give_name(temporary, directory, name, content, new)
        temporary = self.open_file(directory)
        try:
            content.write_to(temporary.fd)
            return self._give_name(temporary, directory, name, content, new)
        finally:
            temporary.close()

    def _give_name(
        self, temporary: Temporary, directory: Directory, name: str, content: Content, new: NewFile
    ) -> Published:
        one_flush = self.fsync and directory.one_flush
        if one_flush:
            temporary.write_out()
        elif self.fsync:
            temporary.flush()
        try:
            temporary.link(directory, name)  # nearly all names are free; if not, this fails
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in NO_NOCLOBBER:
                raise
        else:
            if self.fsync:
                self.make_new_durable(directory, name, temporary, one_flush=one_flush)
            return f"{directory.path}/{name}", "new"
        if one_flush:
            temporary.flush()
        return TakenName(self, directory, name, Draft(self, directory, content, temporary).file, new).store()

    def suits(self, temporary: Temporary, directory: Directory) -> bool:
        """Whether the file of `open_spool` can get a name in `directory`: links lead there, and it has, or now gets,
        what files made there have: group, mode and ACL. Raises OSError."""
        like = self._spool_is_of
        if directory.on_other_mount or like is None:
            return False
        if like is directory or inherited_from(like) == inherited_from(directory):
            return True
        made_there = self.open_file(directory)
        try:
            resembles = temporary.resemble(made_there)
        finally:
            made_there.close()
        self._spool_is_of = directory if resembles else None
        return resembles

    def open_file(self, directory: Directory) -> Temporary:
        """A temporary file that can get a name in `directory`, with the group, the mode and the ACL of files that are
        made there; raises OSError."""
        spare, self._spare = self._spare, None
        if spare is not None:
            if directory is self._last:
                return spare
            spare.close()
        self._last = directory
        if self._capabilities.unnamed:
            try:
                return Temporary(open_unnamed(directory))
            except OSError as error:
                if error.errno not in NO_TMPFILE:
                    raise
        place = self.place_for(directory)
        if place.directory is not directory and inherited_from(place.directory) != inherited_from(directory):
            place = self._hidden.place(directory)
        return open_hidden(place)

    def make_durable(self, directory: Directory) -> None:
        """Flush the directory, and those above it if needed; raises OSError."""
        if self.fsync:
            self.directories.make_durable(directory)

    def make_new_durable(
        self, directory: Directory, name: str, temporary: Temporary, *, one_flush: bool = False
    ) -> None:
        """The same after `temporary` has got a free name; with `one_flush` its data are written out, but not flushed.
        If it fails, that name is removed: the sender gets a failure and sends again, and the file must not stay as if
        it had been stored."""
        if self.fsync:
            try:
                if one_flush:
                    temporary.flush()
                else:
                    self.directories.make_durable(directory)
            except OSError:
                _unlink(directory, name, temporary.fd)
                raise

    def place_for(self, directory: Directory) -> Place:
        """The place for a hidden file for `directory`; each process sweeps it once."""
        return self._hidden.place(directory if directory.on_other_mount else self.directories.get(TEMPORARY_PARTS))


class Draft:
    """The file of a content before it has a name: `file`, or one that is written and flushed when first needed."""

    __slots__ = ("_content", "_directory", "_file", "_is_own", "_publisher")

    def __init__(
        self, publisher: Publisher, directory: Directory, content: Content, file: Temporary | None = None
    ) -> None:
        self._publisher = publisher
        self._directory = directory
        self._content = content
        self._file = file
        self._is_own = False

    def file(self) -> Temporary:
        """Raises OSError."""
        temporary = self._file
        if temporary is None:
            temporary = self._content.file()
            if temporary is None or not self._publisher.suits(temporary, self._directory):
                temporary = self._file = self._publisher.open_file(self._directory)
                self._is_own = True
                self._content.write_to(temporary.fd)
            if self._publisher.fsync:
                temporary.flush()
            self._file = temporary
        return temporary

    def close(self) -> None:
        """Close the file that was written here; it is gone unless it got a name."""
        if self._is_own and self._file is not None:
            self._file.close()


def _unlink(directory: Directory, name: str, fd: int) -> None:
    """Remove `name` if it still is the file of `fd`, not one that another process has put there meanwhile."""
    with suppress(FileNotFoundError):
        status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
        if os.path.samestat(status, os.fstat(fd)):
            os.unlink(name, dir_fd=directory.fd)
