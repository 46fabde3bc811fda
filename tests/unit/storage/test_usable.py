"""Whether the output directory can be used: mounted, writable, with space and inodes left, on a disk that answers."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from dcmrecv_core.storage import usable
from dcmrecv_core.storage.directories import Directories
from dcmrecv_core.storage.temporary import Capabilities
from dcmrecv_core.storage.usable import OutputDirectory, mount_point_of
from support.publishing import Mount


def directory(path: Path, minimum: int | None = None, mount_point: str | None = None) -> OutputDirectory:
    return OutputDirectory(str(path), minimum, mount_point_of(str(path)) if mount_point is None else mount_point)


def test_an_ordinary_one(tmp_path: Path) -> None:
    assert directory(tmp_path, 1).problem() == ""


def test_less_than_the_minimum(tmp_path: Path) -> None:
    text = directory(tmp_path, 1 << 60).problem()
    assert text.startswith(f"{tmp_path} has ") and text.endswith(" bytes free, less than --min-free")


def test_a_full_one(tmp_path: Path, mount: Mount) -> None:
    place = mount(tmp_path / "small", "-t", "tmpfs", "-o", "size=64k", "tmpfs")
    asked = directory(place)
    assert asked.problem() == ""
    (place / "filling").write_bytes(bytes(64 * 1024))
    assert asked.problem() == f"{place} has no space left"
    (place / "filling").unlink()
    assert asked.problem() == ""


def test_no_inodes(tmp_path: Path, mount: Mount) -> None:
    place = mount(tmp_path / "small", "-t", "tmpfs", "-o", "nr_inodes=2", "tmpfs")
    asked = directory(place)
    assert asked.problem() == ""
    (place / "file").touch()
    assert asked.problem() == f"{place} has no inodes left"


def test_read_only(tmp_path: Path, mount: Mount) -> None:
    place = mount(tmp_path / "place", "-t", "tmpfs", "tmpfs")
    asked = directory(place)
    mount(place, "-o", "remount,ro")
    assert asked.problem() == f"{place} is not writable: its file system is mounted read-only"


def test_missing(tmp_path: Path) -> None:
    place = tmp_path / "out"
    place.mkdir()
    asked = directory(place)
    place.rmdir()
    assert asked.problem() == f"{place} does not exist"


def test_unmounted_and_mounted_again(tmp_path: Path, mount: Mount) -> None:
    point = mount(tmp_path / "a disk", "-t", "tmpfs", "tmpfs")
    place = point / "out"
    place.mkdir()
    asked = directory(place)
    subprocess.run(["umount", "-l", point], check=True, timeout=10)
    place.mkdir()  # on the file system below
    assert asked.problem() == f"{point} is not mounted"
    mount(point, "-t", "tmpfs", "tmpfs")
    place.mkdir()
    assert asked.problem() == ""


def test_mounted_later(tmp_path: Path, mount: Mount) -> None:
    asked = directory(tmp_path)
    mount(tmp_path, "-t", "tmpfs", "tmpfs")
    assert asked.problem() == ""


def test_where_mounts_are_not_known(tmp_path: Path) -> None:
    assert directory(tmp_path, mount_point="").problem() == ""


def test_a_start_finds_the_mount_point(tmp_path: Path, mount: Mount) -> None:
    point = mount(tmp_path / "a disk", "-t", "tmpfs", "tmpfs")
    (point / "out").mkdir()
    assert Capabilities.probe(Directories(str(point / "out"))).mount_point == str(point)


def test_a_disk_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = directory(tmp_path)
    answers = threading.Event()
    real = os.stat

    def stat(path: str) -> os.stat_result:
        answers.wait(10)
        return real(path)

    monkeypatch.setattr(usable, "ANSWER_TIMEOUT", 0.05)
    monkeypatch.setattr(os, "stat", stat)
    for _ in range(2):
        assert asked.problem() == f"file system of {tmp_path} does not respond"
    answers.set()
    monkeypatch.setattr(usable, "ANSWER_TIMEOUT", 10)
    assert asked.problem() == ""
