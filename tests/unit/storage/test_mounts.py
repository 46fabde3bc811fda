"""What is known of a file system: whether locks count, and whether one flush makes a file and its name durable."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dcmrecv_core.storage.mounts import locks_count, one_flush_suffices
from support.publishing import Mount

IMAGE = {
    "ext4": ("mkfs.ext4", "-q"),
    "ext4, no journal": ("mkfs.ext4", "-q", "-O", "^has_journal"),
    "ext4, fast commits": ("mkfs.ext4", "-q", "-O", "fast_commit"),
    "xfs": ("mkfs.xfs", "-q"),
    "btrfs": ("mkfs.btrfs", "-q"),
}


@contextmanager
def opened(place: Path | str) -> Iterator[int]:
    fd = os.open(place, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def test_local_file_systems(tmp_path: Path, mount: Mount) -> None:
    with opened(mount(tmp_path / "a b", "-t", "tmpfs", "tmpfs")) as fd:
        assert locks_count(fd)
        assert not one_flush_suffices(fd)


def test_a_file_system_of_the_kernel_that_keeps_no_files() -> None:
    with opened("/proc") as fd:
        assert not locks_count(fd)
        assert not one_flush_suffices(fd)


def test_without_proc_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> bytes:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_bytes", fail)
    with opened(tmp_path) as fd:
        assert not locks_count(fd)
        assert not one_flush_suffices(fd)


@pytest.fixture
def made(tmp_path: Path, mount: Mount) -> Callable[[str], Path]:
    """`made(kind)`: a file system of a kind of IMAGE in an image file, mounted, in which something has been flushed."""

    def make(kind: str) -> Path:
        image = tmp_path / "image"
        with image.open("wb") as file:
            file.truncate(320 << 20)
        program, *options = IMAGE[kind]
        subprocess.run([f"/usr/sbin/{program}", *options, image], check=True, timeout=30)
        place = mount(tmp_path / "mounted", "-o", "loop", image)
        with (place / "file").open("wb") as file:
            file.write(b"data")
            file.flush()
            os.fsync(file.fileno())
        return place

    return make


@pytest.mark.parametrize(
    ("kind", "suffices"),
    [("ext4", True), ("ext4, no journal", False), ("ext4, fast commits", False), ("xfs", True), ("btrfs", False)],
)
def test_one_flush_suffices_where_one_journal_keeps_the_order(
    made: Callable[[str], Path], kind: str, suffices: bool
) -> None:
    with opened(made(kind)) as fd:
        assert one_flush_suffices(fd) is suffices


def test_a_journal_that_cannot_be_looked_at_is_none(
    made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_text

    def without_sys(path: Path, *args: str, **kwargs: str) -> str:
        if path.is_relative_to("/sys"):
            raise PermissionError(path)
        return read(path, *args, **kwargs)

    with opened(made("ext4")) as fd:
        monkeypatch.setattr(Path, "read_text", without_sys)
        assert not one_flush_suffices(fd)
