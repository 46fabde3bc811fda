"""Files that have no name yet, and how they get one.

Where the file system has O_TMPFILE and linkat, the file is unnamed, and a killed process leaves nothing. Elsewhere it
is a hidden file (see `hidden`). A file gets its name by its descriptor if possible. If the hidden name has to be used,
it is first compared with the descriptor: another process may have removed or replaced the file, whose content will be
confirmed to the sender.

A file that was made in another directory than the one of its name gets what that directory gives to its files: group,
mode and ACL.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from contextlib import suppress

from dcmrecv_core.api.names import RESERVED
from dcmrecv_core.storage.directories import TEMPORARY_PARTS, Directories, Directory
from dcmrecv_core.storage.handed_over import OLD, HandedOver, old_name
from dcmrecv_core.storage.hidden import HiddenFiles, Place, Tokens, is_locked, remove
from dcmrecv_core.storage.mounts import mount_of
from dcmrecv_core.storage.system_calls import rename_exchange, rename_noreplace, write_out

log = logging.getLogger("dcmrecv.receive")

PROBE_NAME = f"{RESERVED}-probe.tmp"
"""The name of the file that a start makes in the output directory to try it. It is always the same, so if a start is
killed at that moment, the next one finds the file without reading millions of entries."""

NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
"""Errors of open where O_TMPFILE is missing."""

_ACCESS_ACL = "system.posix_acl_access"
_DEFAULT_ACL = "system.posix_acl_default"
"""The extended attributes of POSIX ACLs (Linux acl(5)): of a file, and of a directory for the files made in it."""

_REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)
_NO_LINK = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_PROBES = 100


class Temporary:
    """An open file without its final name; after `close` it is gone unless it was `published`."""

    __slots__ = ("_hidden", "_place", "fd", "lost", "published")

    def __init__(self, fd: int, place: Place | None = None, hidden: str = "") -> None:
        self.fd = fd
        self.published = False
        self.lost = False
        """A flush failed: its content is not reliable, even if a later flush succeeds."""
        self._place = place
        self._hidden = hidden

    def made_in(self, directory: Directory) -> Directory:
        """The directory of its hidden name; `directory` if it was made without one."""
        return directory if self._place is None else self._place.directory

    def resemble(self, other: Temporary) -> bool:
        """Take over the group, the ACL and the mode of another file; returns False if that is not permitted."""
        ours, theirs = os.fstat(self.fd), os.fstat(other.fd)
        acl = _acl(other.fd, _ACCESS_ACL)
        try:
            if ours.st_gid != theirs.st_gid:
                os.fchown(self.fd, -1, theirs.st_gid)
            if acl:
                os.setxattr(self.fd, _ACCESS_ACL, acl)
            elif _acl(self.fd, _ACCESS_ACL):
                os.removexattr(self.fd, _ACCESS_ACL)
            if os.fstat(self.fd).st_mode != theirs.st_mode:
                os.fchmod(self.fd, stat.S_IMODE(theirs.st_mode))
        except OSError:
            return False
        return True

    def flush(self) -> None:
        """fsync; raises OSError, and once it has failed, each time."""
        if self.lost:
            raise OSError(errno.EIO, "A flush failed before")
        try:
            os.fsync(self.fd)
        except OSError:
            self.lost = True
            raise

    def write_out(self) -> None:
        """Write its data to the device, without making them durable; raises OSError as `flush`."""
        try:
            write_out(self.fd)
        except OSError:
            self.lost = True
            raise

    def link(self, directory: Directory, name: str) -> None:
        """Give it the name if that is free (else FileExistsError); readers see no file or the whole file.

        Raises another OSError: of `NO_NOCLOBBER` where the file system can give names only by overwriting, ESTALE if
        another process has removed or replaced the hidden file.
        """
        if self._place is None:
            link_unnamed(self.fd, directory, name)
        else:
            try:
                self._link_hidden(self._place, directory, name)
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise
                self._check_hidden(self._place)
                rename_noreplace(self._place.directory.fd, self._hidden, directory.fd, name)
                self._lose_hidden()
            self._drop_hidden()
        self.published = True

    def replace(self, place: Place, directory: Directory, name: str) -> None:
        """Give it the name, even if that is taken; `place` is for a hidden link on the way. Raises OSError, ESTALE if
        another process has removed or replaced the hidden file."""
        place = self._hide(place)
        os.rename(self._hidden, name, src_dir_fd=place.directory.fd, dst_dir_fd=directory.fd)
        self._lose_hidden()
        self.published = True

    def exchange(self, place: Place, directory: Directory, name: str) -> HandedOver:
        """Give it the name, and hand over what had it, which the caller has to remove. `place` is as for `replace`.

        Raises OSError with nothing changed: of `NO_EXCHANGE` where the file system cannot exchange, FileNotFoundError
        if the name is free (again), ESTALE as `replace`.
        """
        was = self._hidden
        place = self._place or place
        handed_over = HandedOver(place.directory, old_name(was or place.name()))
        handed_over.note(directory, name)
        try:
            self._hide(place, handed_over.hidden)
            rename_exchange(place.directory.fd, self._hidden, directory.fd, name)
        except BaseException:
            if self._hidden != handed_over.hidden:
                handed_over.forget()
            raise
        self._hidden = ""
        self.published = True
        return handed_over

    def _hide(self, place: Place, hidden: str = "") -> Place:
        """Make sure that it has a hidden name that is its own, and is `hidden` if that is given; returns where that is,
        which is `place` if it had none."""
        if self._place is None:
            hidden = hidden or place.name()
            link_unnamed(self.fd, place.directory, hidden)
            self._place, self._hidden = place, hidden
        place = self._place
        self._check_hidden(place)
        if hidden and hidden != self._hidden:
            os.rename(self._hidden, hidden, src_dir_fd=place.directory.fd, dst_dir_fd=place.directory.fd)
            self._hidden = hidden
            self._check_hidden(place)
        return place

    def _lose_hidden(self) -> None:
        """It has no hidden name any longer, and no note of what that was for."""
        if self._place is not None and self._hidden.endswith(OLD):
            HandedOver(self._place.directory, self._hidden).forget()
        self._hidden = ""

    def _link_hidden(self, place: Place, directory: Directory, name: str) -> None:
        """Link by the descriptor, which cannot be another file's; by the hidden name only if there is no /proc."""
        try:
            link_unnamed(self.fd, directory, name)
        except FileNotFoundError:
            self._check_hidden(place)
            os.link(self._hidden, name, src_dir_fd=place.directory.fd, dst_dir_fd=directory.fd, follow_symlinks=False)
            self._check_linked(place, directory, name)

    def _check_hidden(self, place: Place) -> None:
        """Raises OSError (ESTALE) if the hidden name is gone or another file's; that file is not touched."""
        if not self._is(place.directory, self._hidden):
            log.error("%s/%s was removed or replaced by another process", place.directory.path, self._hidden)
            self._lose_hidden()
            raise _stale()

    def _check_linked(self, place: Place, directory: Directory, name: str) -> None:
        """Check after a link by the hidden name, which may have become another file's since it was checked.

        If that name still is ours, it was so all the time, because no name is used twice: then another file under
        `name` has rightly replaced ours. A wrong link is removed if it provably is the one made here.
        """
        if self._is(directory, name) or self._is(place.directory, self._hidden):
            return
        with suppress(OSError):
            linked = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
            if os.path.samestat(linked, os.stat(self._hidden, dir_fd=place.directory.fd, follow_symlinks=False)):
                os.unlink(name, dir_fd=directory.fd)
        log.error("%s/%s was replaced by another process", place.directory.path, self._hidden)
        self._lose_hidden()
        raise _stale()

    def _is(self, directory: Directory, name: str) -> bool:
        """Whether the file of that name is this one. Raises OSError if that is not known."""
        try:
            status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(status, os.fstat(self.fd))

    def close(self) -> None:
        """Close the descriptor and remove the hidden name, if there still is one."""
        if self._place is not None:
            self._drop_hidden()
            self._place.files.open.discard(self.fd)
        try:
            os.close(self.fd)
        except OSError as error:
            # With --fsync the content has been flushed before; without, this error does not matter.
            log.warning("cannot close a file: %s", error)

    def _drop_hidden(self) -> None:
        if self._hidden and self._place is not None:
            try:
                os.unlink(self._hidden, dir_fd=self._place.directory.fd)
            except OSError as error:
                log.warning("cannot remove %s, which is removed later: %s", self._hidden, error)
                self._hidden = ""
            self._lose_hidden()


def link_unnamed(fd: int, directory: Directory, name: str) -> None:
    # only with a dir_fd given does os.link call linkat with AT_SYMLINK_FOLLOW; else it fails with EXDEV
    os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=directory.fd, follow_symlinks=True)


def open_unnamed(directory: Directory) -> int:
    """A readable and writable file without a name on the directory's file system; raises OSError."""
    return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666, dir_fd=directory.fd)


def open_hidden(place: Place) -> Temporary:
    """A temporary with a hidden name in `place`, for file systems without unnamed files; raises OSError."""
    hidden = place.name()
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(hidden, flags, 0o666, dir_fd=place.directory.fd)
    place.files.open.add(fd)
    if place.locks:
        with suppress(OSError):
            is_locked(fd)  # takes the lock, which shows others that the file is needed
    return Temporary(fd, place, hidden)


def inherited_from(directory: Directory) -> tuple[int, int, bytes]:
    """What decides the group, the mode and the ACL of files that are made in a directory: its own group, whether it has
    the setgid bit, and its default ACL. Raises OSError."""
    status = os.fstat(directory.fd)
    return status.st_gid, status.st_mode & stat.S_ISGID, _acl(directory.fd, _DEFAULT_ACL)


def _acl(fd: int, name: str) -> bytes:
    """An ACL; empty if there is none, or no ACLs on this file system."""
    try:
        return os.getxattr(fd, name)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return b""
        raise


def _stale() -> OSError:
    return OSError(errno.ESTALE, "its temporary file was removed or replaced")


class Capabilities:
    """The abilities of the output directory's file system, found out once at the start.

    `unnamed`: O_TMPFILE and linkat through /proc work; `noclobber`: a file can get a name without overwriting;
    `mount_point`: where it is mounted, "" if that is not known.
    """

    __slots__ = ("mount_point", "noclobber", "unnamed")

    def __init__(self, unnamed: bool = True, noclobber: bool = True, mount_point: str = "") -> None:
        self.unnamed = unnamed
        self.noclobber = noclobber
        self.mount_point = mount_point

    @classmethod
    def probe(cls, directories: Directories, tokens: Tokens | None = None) -> Capabilities:
        """Try them in the output directory; raises StorageError or OSError if it cannot be written to.

        Removes the files of dead processes: hidden files, also beside their targets, and the one of `PROBE_NAME`.
        """
        hidden = HiddenFiles(tokens, directories)
        try:
            return cls._probe(directories, hidden)
        finally:
            hidden.close()

    @classmethod
    def _probe(cls, directories: Directories, hidden: HiddenFiles) -> Capabilities:
        root = directories.get(())
        mount = mount_of(root.fd)
        point = "" if mount is None else mount.point
        hidden.sweep_noted()
        if os.path.isdir("/".join((directories.root, *TEMPORARY_PARTS))):
            hidden.place(directories.get(TEMPORARY_PARTS))
        try:
            if cls._can_link(Temporary(open_unnamed(root)), root, hidden):
                return cls(unnamed=True, noclobber=True, mount_point=point)
        except OSError as error:
            if error.errno not in NO_TMPFILE:
                raise
        place = directories.get(TEMPORARY_PARTS)
        # the output directory itself may have millions of entries
        temporary = open_hidden(hidden.place(root, sweeps=False) if place.on_other_mount else hidden.place(place))
        return cls(unnamed=False, noclobber=cls._can_link(temporary, root, hidden), mount_point=point)

    @staticmethod
    def _can_link(temporary: Temporary, root: Directory, hidden: HiddenFiles) -> bool:
        try:
            try:
                name = _link_probe(temporary, root, hidden)
            except OSError as error:
                if error.errno in _REFUSED:
                    raise
                return False
            remove(root, name)
        finally:
            temporary.close()
        return True


def _link_probe(temporary: Temporary, root: Directory, hidden: HiddenFiles) -> str:
    """Give it `PROBE_NAME`. Other starts may give and remove that name at the same moment; each only has to know that a
    link was made. Returns the name that it got; raises OSError."""
    for _ in range(_PROBES):
        if not remove(root, PROBE_NAME):
            break
        with suppress(FileExistsError):
            temporary.link(root, PROBE_NAME)
            return PROBE_NAME
    name = hidden.name()  # the file of the other name stays
    temporary.link(root, name)
    return name
