"""Small disks to fill: memory file systems, mounted for a test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.programs.receivers import system_program

INODES = 64


@contextmanager
def mounted(directory: Path, size: str) -> Iterator[Path]:
    """A disk of `size` (4m) with INODES inodes on `directory`."""
    options = f"size={size},nr_inodes={INODES}"
    subprocess.run([system_program("mount"), "-t", "tmpfs", "-o", options, "tmpfs", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run([system_program("umount"), "--lazy", directory], check=True)


def remount(directory: Path, option: str) -> None:
    """Change a mount: `ro`, `rw`, `size=8m`."""
    subprocess.run([system_program("mount"), "-o", f"remount,{option}", directory], check=True)


def fill(directory: Path) -> None:
    """Write until not a byte more fits. `empty` undoes it."""
    with (directory / "filler").open("wb", buffering=0) as filler:
        try:
            while filler.write(bytes(4096)):
                pass
        except OSError:
            return


def all_but(directory: Path, left: int) -> None:
    """Write until so many bytes fit, and no more. `empty` undoes it."""
    fill(directory)
    filler = directory / "filler"
    os.truncate(filler, filler.stat().st_size - left)


def use_up_inodes(directory: Path) -> None:
    """Make files until no more can be made. `empty` undoes it."""
    for number in range(INODES + 1):
        try:
            (directory / f"filler{number}").touch()
        except OSError:
            return


def empty(directory: Path) -> None:
    for path in directory.glob("filler*"):
        path.unlink()
