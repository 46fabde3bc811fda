"""The program is started with unusable output directories, and timed.

Where the machine is too busy for any start within a second, the time is compared with that of a start for `--version`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.programs.receivers import run, system_program
from support.promises.promises import promise
from support.promises.volumes import fill, mounted, remount

pytestmark = promise(11)

EXIT_CODE = 45
TRIES = 5
"""Other tests slow a start down: one of so many starts has to be fast enough."""

BUSY = 3.0
"""So many times as long as a start for `--version` may the fastest one of TRIES take, if that is more than a second."""

ORDINARY = ("--bounding-set", "-dac_override,-dac_read_search")
"""For setpriv: modes of files and directories apply to root, too."""

Make = Callable[[Path, ExitStack], Path]


def absent(home: Path, stack: ExitStack) -> Path:
    return home / "absent"


def a_file(home: Path, stack: ExitStack) -> Path:
    (home / "file").touch()
    return home / "file"


def below_a_file(home: Path, stack: ExitStack) -> Path:
    return a_file(home, stack) / "directory"


def without_permission(home: Path, stack: ExitStack, mode: int = 0o555) -> Path:
    (home / "locked").mkdir()
    (home / "locked").chmod(mode)
    return home / "locked"


def not_to_be_entered(home: Path, stack: ExitStack) -> Path:
    return without_permission(home, stack, 0o600)


def disk(home: Path, stack: ExitStack) -> Path:
    (home / "disk").mkdir()
    return stack.enter_context(mounted(home / "disk", "1m"))


def read_only(home: Path, stack: ExitStack) -> Path:
    place = disk(home, stack)
    remount(place, "ro")
    return place


def dangling_link(home: Path, stack: ExitStack) -> Path:
    (home / "link").symlink_to("nowhere")
    return home / "link"


def name_too_long(home: Path, stack: ExitStack) -> Path:
    return home / ("x" * 300)


def seconds_for_nothing(program: Path, directory: Path) -> float:
    """Of the longest of some starts that only tell the version."""
    times = []
    for _ in range(TRIES):
        begin = time.monotonic()
        assert run(system_program("setpriv"), *ORDINARY, program, "--version", cwd=directory).returncode == 0
        times.append(time.monotonic() - begin)
    return max(times)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


CAUSES: tuple[Make, ...] = (
    absent,
    a_file,
    below_a_file,
    without_permission,
    not_to_be_entered,
    read_only,
    dangling_link,
    name_too_long,
)


@pytest.mark.parametrize("make", CAUSES, ids=lambda make: make.__name__)
def test_exit_code_within_a_second(
    program: Path, directory: Path, stack: ExitStack, make: Make, figure: Callable[[str], None]
) -> None:
    output = make(directory, stack)
    times = []
    while not times or (min(times) >= 1 and len(times) < TRIES):
        begin = time.monotonic()
        done = run(system_program("setpriv"), *ORDINARY, program, "-od", output, "11112", cwd=directory, timeout=20)
        times.append(time.monotonic() - begin)
        assert done.returncode == EXIT_CODE, done.stderr
        assert "cannot specify output directory: " in done.stderr
        assert "Traceback" not in done.stderr
    if min(times) < 1:
        figure(f"{len(CAUSES)} causes: exit code {EXIT_CODE} in less than a second")
    else:
        assert min(times) < BUSY * seconds_for_nothing(program, directory)


def test_a_full_disk_is_no_bad_directory(program: Path, directory: Path, stack: ExitStack) -> None:
    """The receiver may be started before somebody makes room."""
    output = disk(directory, stack)
    fill(output)
    done = run(program, "-od", output, "--bind", "203.0.113.1", "11112", cwd=directory)
    assert done.returncode == 64, "the directory was good, the address is not ours"
