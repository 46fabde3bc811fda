"""A file system in an image file: the file has what a power cut would leave."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dcmrecv_core.testing import until
from support.programs.receivers import Receiver, run

KINDS = {
    "ext4, ordered": ("mkfs.ext4", "commit=300,data=ordered"),
    "ext4, writeback": ("mkfs.ext4", "commit=300,data=writeback"),
    "ext4, journal": ("mkfs.ext4", "commit=300,data=journal"),
    "xfs": ("mkfs.xfs", "nouuid"),
    "btrfs": ("mkfs.btrfs", "commit=300"),
}
"""Program and mount options. ext4 and btrfs commit only on request; XFS lets its copy be mounted beside it."""


class Image:
    """A file system of a kind of KINDS, mounted at `place`."""

    def __init__(self, kind: str, file: Path, place: Path) -> None:
        self.place = place
        self._file = file
        program, self._options = KINDS[kind]
        with file.open("wb") as image:
            image.truncate(512 << 20)
        subprocess.run([f"/usr/sbin/{program}", "-q", file], check=True, timeout=30)
        self._mount(file, place)
        for found in place.iterdir():
            found.rmdir()  # lost+found

    @contextmanager
    def after_power_cut(self, receiver: Receiver) -> Iterator[Path]:
        """The files after a power failure at this moment; the receiver is stopped meanwhile."""
        pids = [receiver.process.pid, *receiver.workers()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        place = self._file.with_suffix(".mounted")
        try:
            self._mount(self._copy(), place)
            try:
                yield place
            finally:
                unmount(place)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def _copy(self) -> Path:
        """A copy of the image at one moment.

        The kernel may still be writing while it is copied. If a second copy equals the first, nothing changed between.
        """
        first, second = self._file.with_suffix(".copy"), self._file.with_suffix(".copy2")

        def copied_twice() -> bool:
            for copy in (first, second):
                subprocess.run(["cp", "--sparse=always", self._file, copy], check=True, timeout=30)
            return subprocess.run(["cmp", "--silent", first, second], timeout=30).returncode == 0

        until(copied_twice, "the image stays as it is while it is copied")
        second.unlink()
        return first

    def _mount(self, file: Path, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        done = run("mount", "-o", f"loop,{self._options}", file, place)
        assert done.returncode == 0, f"this test mounts image files, as root: {done.stderr.strip()}"


def unmount(place: Path) -> None:
    """Unmount it even if a process still uses it."""
    run("umount", "--lazy", place)
