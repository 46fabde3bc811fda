"""Real file systems for tests of what can go wrong on one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.publishing import Mount


@pytest.fixture
def mount() -> Iterator[Mount]:
    """mount(place, "-t", "tmpfs", ...): mounts there until the test is over; fails where that is not permitted."""
    mounted: list[Path] = []

    def mount_at(place: Path, *arguments: str | Path) -> Path:
        place.mkdir(exist_ok=True)
        done = subprocess.run(["mount", *arguments, place], capture_output=True, text=True, timeout=10, check=False)
        assert done.returncode == 0, f"this test mounts a small file system, as root: {done.stderr}"
        if place not in mounted:
            mounted.append(place)
        return place

    yield mount_at
    for place in reversed(mounted):
        subprocess.run(["umount", "-l", place], timeout=10, check=True)
