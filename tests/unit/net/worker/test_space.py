"""Free space: enough, too little, unknown, and on a disk that hangs."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from dcmrecv_core.net.worker.space import FreeSpace
from dcmrecv_core.storage import usable


class Disk:
    """Stands in for `os.statvfs`: blocks of 4096 bytes, of which an ordinary user gets `free`."""

    def __init__(self) -> None:
        self.free = 100
        self.error: OSError | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.asked = 0

    def statvfs(self, directory: str) -> object:
        self.asked += 1
        self.answers.wait(10)
        if self.error is not None:
            raise self.error
        return SimpleNamespace(f_bavail=self.free, f_bfree=1 << 30, f_frsize=4096, f_bsize=1 << 20)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk()
    monkeypatch.setattr(os, "statvfs", disk.statvfs)
    monkeypatch.setattr(usable, "ANSWER_TIMEOUT", 0.05)
    yield disk
    disk.answers.set()


def test_low_is_less_than_the_minimum(disk: Disk) -> None:
    free_space = FreeSpace("out", 100 * 4096)
    assert not free_space.is_low()
    disk.free = 99
    assert free_space.is_low()
    assert free_space.shortage == "out has 405504 bytes free, less than --min-free"
    disk.free = 100
    assert not free_space.is_low()


def test_without_a_minimum_the_disk_is_not_read(disk: Disk) -> None:
    assert not FreeSpace("out", None).is_low()
    assert disk.asked == 0


def test_unknown_space_is_not_low(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    free_space = FreeSpace("out", 101 * 4096)
    assert free_space.is_low()
    disk.error = OSError(errno.ESTALE, "Stale file handle")
    assert not free_space.is_low()
    assert "Stale file handle" in caplog.text


def test_a_disk_that_hangs_is_asked_once(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    free_space = FreeSpace("out", 101 * 4096)
    disk.answers.clear()
    assert not free_space.is_low()
    assert not free_space.is_low()
    assert (disk.asked, caplog.text.count("out does not respond")) == (1, 2)
    disk.answers.set()
    free_space._question._thread.join(10)  # type: ignore[union-attr]
    assert free_space.is_low(), "its late answer"
