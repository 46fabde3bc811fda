"""Log files of several processes: whole lines, rolled over, rotated from outside, full, missing - nothing is lost."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core.logs import files
from dcmrecv_core.logs.files import DailyRollingFileHandler, FileHandler, RollingFileHandler

DEADLINE = 150.0


@pytest.fixture
def make() -> Iterator[Callable[..., FileHandler]]:
    made: list[FileHandler] = []

    def make(kind: type[FileHandler], *args: Any, **kwargs: Any) -> FileHandler:
        made.append(kind(*args, **kwargs))
        return made[-1]

    yield make
    for handler in made:
        handler.close()


def log(handler: logging.Handler, text: str, when: float | None = None) -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, text, (), None)
    if when is not None:
        record.created = when
    handler.handle(record)


def in_processes(count: int, main: Callable[[int], None]) -> None:
    """Run `main(number)` in forked processes; each has to return."""
    pids = []
    for number in range(count):
        pid = os.fork()
        if not pid:
            code = 1
            try:
                signal.alarm(int(DEADLINE))
                main(number)
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * count


@pytest.mark.parametrize("inherited", [True, False])
def test_processes_write_and_roll_one_file(inherited: bool, tmp_path: Path, make: Callable[..., FileHandler]) -> None:
    path = str(tmp_path / "x.log")
    size, processes, lines = 50_000, 4, 6_000
    shared = make(RollingFileHandler, path, max_bytes=size, backups=1000)

    def write(number: int) -> None:
        handler = shared if inherited else RollingFileHandler(path, max_bytes=size, backups=1000)
        for line in range(lines):
            log(handler, f"{number}:{line}:{'x' * (line % 50)}")

    in_processes(processes, write)
    contents = {file: file.read_bytes() for file in tmp_path.iterdir()}
    assert len(contents) > 10
    written = Counter(line for content in contents.values() for line in content.decode().splitlines())
    assert written == Counter(f"{n}:{i}:{'x' * (i % 50)}" for n in range(processes) for i in range(lines))
    assert {file.name for file in contents} == {"x.log", *(f"x.log.{i}" for i in range(1, len(contents)))}


def test_processes_roll_once_a_period(tmp_path: Path, make: Callable[..., FileHandler]) -> None:
    path = tmp_path / "x.log"
    shared = make(DailyRollingFileHandler, str(path))
    log(shared, "old")
    an_hour_ago_last_year = time.time() - 400 * 86400
    os.utime(path, (an_hour_ago_last_year, an_hour_ago_last_year))

    def write(number: int) -> None:
        for line in range(300):
            log(shared, f"{number}:{line}")

    in_processes(4, write)
    backup = tmp_path / f"x.log.{time.strftime('%Y-%m-%d', time.localtime(an_hour_ago_last_year))}"
    assert {file.name for file in tmp_path.iterdir()} == {"x.log", backup.name}
    lines = backup.read_text().splitlines() + path.read_text().splitlines()
    assert lines[0] == "old"
    assert Counter(lines[1:]) == Counter(f"{n}:{i}" for n in range(4) for i in range(300))


def test_backups_are_numbered_and_limited(tmp_path: Path, make: Callable[..., FileHandler]) -> None:
    handler = make(RollingFileHandler, str(tmp_path / "x.log"), max_bytes=8, backups=2)
    for number in range(7):
        log(handler, f"line {number}")  # 7 bytes: every second line is too much
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        "x.log": "line 6\n",
        "x.log.1": "line 4\nline 5\n",
        "x.log.2": "line 2\nline 3\n",
    }


def test_rolled_as_soon_as_it_is_too_large(tmp_path: Path, make: Callable[..., FileHandler]) -> None:
    handler = make(RollingFileHandler, str(tmp_path / "x.log"), max_bytes=3)
    log(handler, "1234")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"x.log": "", "x.log.1": "1234\n"}


def test_no_process_waits_for_the_lock(tmp_path: Path, make: Callable[..., FileHandler]) -> None:
    path = tmp_path / "x.log"
    handler = make(RollingFileHandler, str(path), max_bytes=3)
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        log(handler, "first")
        assert path.read_text() == "first\n"
    log(handler, "second")
    assert (tmp_path / "x.log.1").read_text() == "first\nsecond\n"


@pytest.fixture(params=["UTC", "Asia/Kolkata", "America/New_York"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def seconds(text: str) -> float:
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("schedule", "now", "last", "suffix"),
    [
        ("MONTHLY", "2026-03-18 15:42:10", "2026-02-28 23:59:59", "2026-02"),
        ("MONTHLY", "2026-03-18 15:42:10", "2026-03-01 00:00:00", ""),
        ("WEEKLY", "2026-03-18 15:42:10", "2026-03-14 23:59:59", "2026-09"),
        ("WEEKLY", "2026-03-18 15:42:10", "2026-03-15 00:00:00", ""),
        ("DAILY", "2026-03-18 15:42:10", "2026-03-17 23:59:59", "2026-03-17"),
        ("DAILY", "2026-03-18 15:42:10", "2026-03-18 00:00:00", ""),
        ("TWICE_DAILY", "2026-03-18 15:42:10", "2026-03-18 11:59:59", "2026-03-18-AM"),
        ("TWICE_DAILY", "2026-03-18 15:42:10", "2026-03-18 12:00:00", ""),
        ("TWICE_DAILY", "2026-03-18 03:42:10", "2026-03-17 23:59:59", "2026-03-17-PM"),
        ("HOURLY", "2026-03-18 15:42:10", "2026-03-18 14:59:59", "2026-03-18-14"),
        ("HOURLY", "2026-03-18 15:42:10", "2026-03-18 15:00:00", ""),
        ("MINUTELY", "2026-03-18 15:42:10", "2026-03-18 15:41:59", "2026-03-18-15-41"),
        ("MINUTELY", "2026-03-18 15:42:10", "2026-03-18 15:42:00", ""),
    ],
)
def test_schedules(
    schedule: str, now: str, last: str, suffix: str, tmp_path: Path, make: Callable[..., FileHandler]
) -> None:
    path = tmp_path / "x.log"
    handler = make(DailyRollingFileHandler, str(path), schedule=schedule)
    log(handler, "early", seconds(last))
    os.utime(path, (seconds(last), seconds(last)))
    log(handler, "late", seconds(now))
    if suffix:
        assert (tmp_path / f"x.log.{suffix}").read_text() == "early\n"
    assert path.read_text() == ("late\n" if suffix else "early\nlate\n")


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize("schedule", files.SCHEDULES)
def test_periods_begin_before_they_end(schedule: str) -> None:
    """Every ten minutes of a year, in which clocks are put forward and back."""
    begin, _ = files.SCHEDULES[schedule]
    start, before = seconds("2026-01-01 00:00:00"), 0.0
    for now in range(int(start), int(start) + 366 * 86400, 1800):
        assert before <= begin(now) <= now
        before = begin(now)


def test_backups_of_one_period(tmp_path: Path, make: Callable[..., FileHandler]) -> None:
    path = tmp_path / "x.log"
    handler = make(DailyRollingFileHandler, str(path), backups=2)
    last = seconds("2026-03-17 12:00:00")
    for number in range(5):
        log(handler, str(number))
        os.utime(path, (last, last))
    names = ("x.log", "x.log.2026-03-17", "x.log.2026-03-17.1", "x.log.2026-03-17.2")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == dict(
        zip(names, ("4\n", "3\n", "2\n", "1\n"), strict=True)
    )


def move(path: Path) -> None:
    path.rename(path.with_name("rotated"))


def move_and_create(path: Path) -> None:
    move(path)
    path.touch()


@pytest.mark.parametrize("rotate", [move, move_and_create, Path.unlink])
@pytest.mark.parametrize("kind", [FileHandler, RollingFileHandler, DailyRollingFileHandler])
def test_rotated_from_outside(
    rotate: Callable[[Path], None], kind: type[FileHandler], tmp_path: Path, make: Callable[..., FileHandler]
) -> None:
    path = tmp_path / "x.log"
    handler = make(kind, str(path))
    log(handler, "one")
    rotate(path)
    log(handler, "two")
    log(handler, "three")
    assert path.read_text() == "two\nthree\n"


def test_emptied_from_outside(tmp_path: Path, make: Callable[..., FileHandler]) -> None:
    path = tmp_path / "x.log"
    handler = make(FileHandler, str(path))
    log(handler, "one")
    os.truncate(path, 0)
    log(handler, "two")
    assert path.read_text() == "two\n"


@pytest.mark.parametrize(("truncate", "text"), [(True, "new\n"), (False, "old\nnew\n")])
def test_what_was_there_before(truncate: bool, text: str, tmp_path: Path, make: Callable[..., FileHandler]) -> None:
    path = tmp_path / "x.log"
    path.write_text("old\n")
    log(make(FileHandler, str(path), truncate=truncate), "new")
    assert path.read_text() == text


def test_a_file_that_cannot_be_opened_until_later(
    tmp_path: Path, make: Callable[..., FileHandler], capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "later" / "x.log"
    handler = make(FileHandler, str(path))
    log(handler, "lost")
    path.parent.mkdir()
    log(handler, "kept")
    assert path.read_text() == "kept\n"
    path.unlink()
    path.parent.rmdir()
    log(handler, "lost")
    log(handler, "lost")
    assert capfd.readouterr().err.splitlines() == [
        f"log4cplus:ERROR Unable to open file: {path}",
        f"log4cplus:ERROR file cannot be written: {path}: No such file or directory",
    ]


@pytest.mark.parametrize("kind", [FileHandler, RollingFileHandler, DailyRollingFileHandler])
def test_a_full_disk(
    kind: type[FileHandler], make: Callable[..., FileHandler], capfd: pytest.CaptureFixture[str]
) -> None:
    handler = make(kind, "/dev/full")
    log(handler, "lost")
    log(handler, "lost")
    said = "log4cplus:ERROR file cannot be written: /dev/full: No space left on device\n"
    assert capfd.readouterr().err == said
    assert os.path.exists("/dev/full")


def test_a_line_that_was_cut_is_ended(
    tmp_path: Path, make: Callable[..., FileHandler], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = make(FileHandler, str(tmp_path / "x.log"))
    write = os.write
    with monkeypatch.context() as context:
        context.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
        log(handler, "12345")
    log(handler, "next")
    assert (tmp_path / "x.log").read_text() == "123\nnext\n"


def test_a_fifo_without_reader(
    tmp_path: Path, make: Callable[..., FileHandler], capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    handler = make(FileHandler, str(path))
    log(handler, "lost")
    assert capfd.readouterr().err == f"log4cplus:ERROR Unable to open file: {path}\n"


@pytest.mark.parametrize(("kind", "keys"), [(RollingFileHandler, {"max_bytes": 3}), (DailyRollingFileHandler, {})])
def test_a_directory_in_which_nothing_can_be_renamed(
    kind: type[FileHandler],
    keys: dict[str, int],
    tmp_path: Path,
    make: Callable[..., FileHandler],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "x.log"
    handler = make(kind, str(path), **keys)
    monkeypatch.setattr(os, "replace", refuse)
    log(handler, "first")
    os.utime(path, (0, 0))
    log(handler, "second")
    assert path.read_text() == "first\nsecond\n"
    assert capfd.readouterr().err == f"log4cplus:ERROR file cannot be rolled over: {path}: Permission denied\n"


def test_a_wrong_log_call_raises_nothing(
    tmp_path: Path, make: Callable[..., FileHandler], capfd: pytest.CaptureFixture[str]
) -> None:
    handler = make(FileHandler, str(tmp_path / "x.log"))
    handler.handle(logging.LogRecord("x", logging.INFO, "", 0, "%d", ("x",), None))
    assert "--- Logging error ---" in capfd.readouterr().err
