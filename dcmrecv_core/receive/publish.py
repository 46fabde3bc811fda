"""From bytes to a file under its name: whole or not at all, and durable before anybody hears of it.

The order is fixed: write, flush the file, publish the name, flush the directory. A flush that failed is never tried
again, because the kernel may have dropped the pages by then.
"""

from __future__ import annotations

import errno
import logging
import os
from contextlib import suppress
from typing import Protocol

from dcmrecv_core.errors import NameTakenError, StorageError
from dcmrecv_core.model import OnExists
from dcmrecv_core.receive.directories import Directories, Directory, storage_error
from dcmrecv_core.receive.hidden import HiddenFiles, Place, Tokens
from dcmrecv_core.receive.renaming import NO_NOCLOBBER
from dcmrecv_core.receive.temporary import (
    NO_TMPFILE,
    TEMPORARY_PARTS,
    Capabilities,
    Temporary,
    open_hidden,
    open_unnamed,
)

log = logging.getLogger("dcmrecv.receive")

DUPLICATE_SOP_INSTANCE = 0x0111


class Content(Protocol):
    """A complete file in the making."""

    def write_to(self, fd: int) -> None:
        """Write all of it to `fd`, from its current position; raises OSError."""

    def file(self) -> Temporary | None:
        """The temporary file that already is the content and has no name yet; None if it must be written. It stays
        the content's: whoever made it closes it. Raises OSError if the content is lost."""


class Publisher:
    """Puts files below one output directory (design: atomic, no-clobber where asked, durable with `fsync`).

    `tokens` are those of the receiver's state directory, None if it owns none.
    """

    def __init__(
        self, root: str, start: str = "", *, fsync: bool, capabilities: Capabilities, tokens: Tokens | None = None
    ) -> None:
        self.directories = Directories(root, start)
        self._fsync = fsync
        self._capabilities = capabilities
        self._hidden = HiddenFiles(tokens)
        self._last: Directory | None = None
        self._spare: Temporary | None = None  # in that directory

    def open_spool(self) -> Temporary:
        """A temporary file on the output directory's file system, to receive into; raises StorageError."""
        try:
            return self._open(self.directories.get(()))
        except OSError as error:
            raise storage_error(error, "Cannot create file") from error

    def prepare(self) -> None:
        """While nobody waits: open the file of the next instance, where the last one went. Raises nothing; what cannot
        be opened now is tried again when it is needed."""
        if self._spare is None and self._last is not None and self._capabilities.unnamed:
            with suppress(OSError):
                self._spare = Temporary(open_unnamed(self._last))

    def rest(self) -> None:
        """No instance is expected soon: close what was prepared."""
        self._last = None
        if self._spare is not None:
            self._spare.close()
            self._spare = None

    def renew(self, now: float) -> None:
        """To be called now and then, `now` of the monotonic clock: what lasts for hours is not taken for left over."""
        self._hidden.renew(now)

    def close(self) -> None:
        """Nothing is stored any more."""
        self.rest()
        self._hidden.close()

    def publish(self, parts: tuple[str, ...], name: str, on_exists: OnExists, content: Content) -> str:
        """Store `content` as `name` in the directory `parts`; returns its path.

        Raises StorageError (A700) with nothing left behind, NameTakenError if the name is taken and `on_exists` is
        "retry" or "refuse". Until it is published the content is intact and may be tried under another name.
        """
        directory = self.directories.get(parts)
        path = f"{directory.path}/{name}"
        if on_exists != "overwrite" and _exists(directory, name):
            return self._keep_existing(directory, path, on_exists)
        try:
            try:
                return self._store(directory, name, on_exists, content, path)
            except OSError as error:
                if error.errno != errno.EXDEV or directory.foreign:
                    raise
                # the same file system mounted twice: its number is the same, yet nothing can be linked across
                directory.foreign = True
                return self._store(directory, name, on_exists, content, path)
        except OSError as error:
            raise storage_error(error, "Cannot store file") from error

    def _store(self, directory: Directory, name: str, on_exists: OnExists, content: Content, path: str) -> str:
        temporary = content.file()
        if temporary is not None and not directory.foreign:
            return self._give_name(temporary, directory, name, on_exists, path)
        temporary = self._open(directory)
        try:
            content.write_to(temporary.fd)
            return self._give_name(temporary, directory, name, on_exists, path)
        finally:
            temporary.close()

    def _open(self, directory: Directory) -> Temporary:
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
        return open_hidden(self._place_for(directory))

    def _give_name(self, temporary: Temporary, directory: Directory, name: str, on_exists: OnExists, path: str) -> str:
        if self._fsync:
            temporary.flush()
        try:
            temporary.link(directory, name)
            is_new = True
        except FileExistsError:
            if on_exists != "overwrite":
                return self._keep_existing(directory, path, on_exists)
            is_new = False
        except OSError as error:
            if on_exists != "overwrite" or error.errno not in NO_NOCLOBBER:
                raise
            is_new = False
        if not is_new:
            existed = _exists(directory, name)
            temporary.replace(self._place_for(directory), directory, name)
            if existed:
                log.warning("file already exists, overwriting: %s", path)
        if self._fsync:
            try:
                self.directories.make_durable(directory)
            except OSError:
                # The sender hears of a failure and sends again. What was new must not stay as if it had been stored;
                # an overwritten file is complete, and its predecessor is gone.
                if is_new:
                    _unlink(directory, name, temporary.fd)
                raise
        return path

    def _keep_existing(self, directory: Directory, path: str, on_exists: OnExists) -> str:
        if on_exists == "refuse":
            raise NameTakenError(DUPLICATE_SOP_INSTANCE, path)
        if on_exists == "retry":
            raise NameTakenError(StorageError("").status, path)
        log.info("file already exists, keeping it: %s", path)
        if self._fsync:
            try:
                self.directories.make_durable(directory)  # whoever made it may not have flushed its name yet
            except OSError as error:
                raise storage_error(error, "Cannot flush directory") from error
        return path

    def _place_for(self, directory: Directory) -> Place:
        """Where a hidden file for `directory` may stand, swept once by each process."""
        return self._hidden.place(directory if directory.foreign else self.directories.get(TEMPORARY_PARTS))


def _exists(directory: Directory, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise storage_error(error, "Cannot look up file") from error
    return True


def _unlink(directory: Directory, name: str, fd: int) -> None:
    """Remove the file that `fd` is; not the one that another process has put under its name meanwhile."""
    with suppress(FileNotFoundError):
        status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
        if os.path.samestat(status, os.fstat(fd)):
            os.unlink(name, dir_fd=directory.fd)
