"""A file system in an image file: the file has what a power cut would leave."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.programs.receivers import Receiver, run


class Image:
    """An ext4 that commits its journal only on request, mounted at `place`."""

    def __init__(self, file: Path, place: Path) -> None:
        self.place = place
        self._file = file
        with file.open("wb") as image:
            image.truncate(512 << 20)
        subprocess.run(["/usr/sbin/mkfs.ext4", "-q", file], check=True, timeout=30)
        _mount(file, place)
        (place / "lost+found").rmdir()

    @contextmanager
    def after_power_cut(self, receiver: Receiver) -> Iterator[Path]:
        """The files after a power failure at this moment; the receiver is stopped meanwhile."""
        pids = [receiver.process.pid, *receiver.workers()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        copy, place = self._file.with_suffix(".copy"), self._file.with_suffix(".mounted")
        try:
            subprocess.run(["cp", "--sparse=always", self._file, copy], check=True, timeout=30)
            _mount(copy, place)
            try:
                yield place
            finally:
                unmount(place)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


def _mount(file: Path, place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    done = run("mount", "-o", "loop,commit=300", file, place)
    if done.returncode:
        pytest.skip(f"image files cannot be mounted here: {done.stderr.strip()}")


def unmount(place: Path) -> None:
    """Unmount it even if a process still uses it."""
    run("umount", "--lazy", place)
