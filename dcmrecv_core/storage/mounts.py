"""What the kernel says of the file system that a descriptor is on, and what may be relied on there."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

_LOCAL = re.compile(
    "bcachefs|btrfs|exfat|ext[234]|f2fs|hfsplus|jfs|msdos|nilfs2|ntfs3|overlay|ramfs|reiserfs|tmpfs|ubifs|vfat|xfs|zfs"
)


class Mount(NamedTuple):
    """A line of /proc/self/mountinfo (proc(5)): `kind` of file system, `device` as major:minor, `point` where it is
    mounted."""

    kind: str
    device: str
    point: str


def mount_of(fd: int) -> Mount | None:
    """None where it is not known: without /proc, for instance."""
    try:
        mount = re.search(rb"^mnt_id:\s*(\d+)$", Path(f"/proc/self/fdinfo/{fd}").read_bytes(), re.MULTILINE)
        for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
            # mount id, parent, major:minor, root, mount point, options, optional fields, "-", kind, source, options
            before, _, after = line.partition(" - ")
            fields = before.split()
            if mount and fields[0].encode() == mount[1]:
                return Mount(after.split()[0], fields[2], _unescaped(fields[4]))
    except OSError:
        pass
    return None


def _unescaped(path: str) -> str:
    """White space and backslashes are octal numbers there."""
    return re.sub(r"\\([0-7]{3})", lambda escape: chr(int(escape[1], 8)), path)


def mount_namespace() -> int:
    """The number of this process's mount namespace (mount_namespaces(7)); 0 where that is not known. In another one,
    as that of a container or of a service that systemd confines, the same directory may have another mount point."""
    try:
        return os.stat("/proc/self/ns/mnt").st_ino
    except OSError:
        return 0


def locks_count(fd: int) -> bool:
    """Whether a lock on the file system of `fd` is seen by every process that can reach it. That is known of local file
    systems only: network file systems and FUSE may keep locks within one host or one mount."""
    mount = mount_of(fd)
    return mount is not None and _LOCAL.fullmatch(mount.kind) is not None


def one_flush_suffices(fd: int) -> bool:
    """Whether fsync of a file that has just got its name, and whose data are written out, makes the name durable too.

    It does where one journal has both changes in order: on XFS, and on ext4 with a journal and without fast commits.
    Call this after something has been flushed there: only then the counters tell of fast commits.
    """
    mount = mount_of(fd)
    if mount is None or mount.kind not in ("ext4", "xfs"):
        return False
    if mount.kind == "xfs":
        return True
    try:
        name = os.path.basename(os.readlink(f"/sys/dev/block/{mount.device}"))
        journal = Path(f"/sys/fs/ext4/{name}/journal_task").read_text()
        counters = Path(f"/proc/fs/ext4/{name}/fc_info").read_text()
    except OSError:
        return False
    fast_commits = re.findall(r"^(\d+) (?:commits|ineligible)$", counters, re.MULTILINE)
    return journal.strip().isdecimal() and fast_commits == ["0", "0"]
