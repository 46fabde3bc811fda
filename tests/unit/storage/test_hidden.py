"""Hidden files: whose they are, and that only those are removed that provably no process needs."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.storage import hidden
from dcmrecv_core.storage.directories import TEMPORARY_PARTS, Directories
from dcmrecv_core.storage.hidden import RENEWED_EVERY, HiddenFiles, Tokens
from dcmrecv_core.storage.temporary import open_hidden
from support.publishing import HIDDEN, Calls, Mount, content, names, publisher

DAY = 24 * 3600
TOKEN = "0123456789abcdef"
OLD_STYLE = ".dcmrecv-host-01234567-4711-0.tmp"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory of our own, that of no output directory."""
    return tmp_path / "state"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    place = tmp_path / "out"
    place.mkdir()
    return place


def files_of(state: Path | None) -> HiddenFiles:
    """The hidden files of a process of a receiver with that state directory."""
    return HiddenFiles(None if state is None else Tokens(Directories(str(state))))


def leave(root: Path, name: str, age: float = 0.0) -> Path:
    path = root / name
    path.touch()
    os.utime(path, times=(time.time() - age,) * 2)
    return path


def sweep(root: Path, state: Path | None = None) -> list[str]:
    """What is left of the hidden files after a process has come; everything else has to stay."""
    (root / "CT.1").touch()
    files_of(state).place(Directories(str(root)).get(()))
    found = names(root)
    assert "CT.1" in found
    return [name for name in found if name != "CT.1"]


def listed(state: Path, token: str = TOKEN, boot: str = "") -> Path:
    """A token whose process is dead, made under this boot of the kernel or another."""
    path = state / "tokens" / token
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    status = path.stat()
    boot = boot or Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    path.write_text(f"{boot} {status.st_dev} {status.st_ino}\n")
    return path


@pytest.fixture
def lock() -> Iterator[Callable[[Path], int]]:
    """Locks files as a living process does."""
    held: list[int] = []

    def take(path: Path) -> int:
        held.append(os.open(path, os.O_RDWR))
        fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        return held[-1]

    yield take
    for fd in held:
        with suppress(OSError):
            os.close(fd)


# Names and tokens


def test_fault_1_no_two_processes_have_a_name_in_common() -> None:
    """Nothing of host, boot or process is in it: two containers may have all of these in common."""
    one, other = files_of(None), files_of(None)
    made = [one.name(), one.name(), other.name()]
    assert len(set(made)) == 3
    assert made[0].split("-")[1] == made[1].split("-")[1] != made[2].split("-")[1]
    assert all(hidden._HIDDEN.match(name) for name in made)


def test_a_token_is_listed_when_the_first_name_is_made(state: Path) -> None:
    files = files_of(state)
    assert not state.exists()
    token = files.name().split("-")[1]
    files.name()
    assert names(state) == [f"tokens/{token}"]
    with files._tokens.holding(token, Directories(str(state)).get(())) as is_dead:  # type: ignore[union-attr]
        assert is_dead is False
    files.close()
    assert names(state) == []


def test_a_state_directory_that_cannot_be_written(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    state.touch()
    assert hidden._HIDDEN.match(files_of(state).name())
    assert "cannot list temporary files in the state directory" in caplog.text


def test_a_token_that_a_sweep_takes_for_a_dead_one(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its making and its lock: then it takes another."""
    answers = iter([True, False])
    monkeypatch.setattr(hidden, "is_locked", lambda fd: next(answers))
    token, fd = Tokens(Directories(str(state))).take()
    assert len(names(state)) == 2
    assert (state / "tokens" / token).exists()
    assert fd is not None
    os.close(fd)


def test_where_locks_do_not_count_no_token_is_listed(
    state: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It would prove nothing; that is no news."""
    monkeypatch.setattr(hidden, "locks_count", lambda fd: False)
    files = files_of(state)
    assert hidden._HIDDEN.match(files.name())
    files.close()
    assert names(state) == []
    assert caplog.messages == []


def test_without_locks_no_token_is_listed(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    files_of(state).name()
    assert names(state) == []


def test_whose_tokens(tmp_path: Path) -> None:
    settings = Settings(output_directory=str(tmp_path))
    assert Tokens.of(settings) is None, "the state directory may be another receiver's"
    [tokens] = filter(None, [Tokens.of(Settings(output_directory=str(tmp_path), owns_state=True))])
    _, fd = tokens.take()
    assert fd is not None
    os.close(fd)
    assert (tmp_path / ".dcmrecv" / "tokens").is_dir()


# Sweeping


def test_a_dead_process_of_ours(output: Path, state: Path) -> None:
    listed(state)
    leave(output, f".dcmrecv-{TOKEN}-0.tmp")
    assert sweep(output, state) == []


@pytest.mark.parametrize("boot", ["", "another"])
def test_a_dead_process_of_ours_before_the_machine_was_started_again(output: Path, state: Path, boot: str) -> None:
    listed(state, boot=boot)
    leave(output, f".dcmrecv-{TOKEN}-0.tmp")
    assert sweep(output, state) == []


@pytest.mark.parametrize(("boot", "stays"), [("", False), ("another", True)])
def test_hidden_files_on_another_file_system(output: Path, state: Path, mount: Mount, boot: str, stays: bool) -> None:
    """A machine that was cloned sees those of the other one on a disk that both have."""
    listed(state, boot=boot)
    place = mount(output / "other", "-t", "tmpfs", "tmpfs")
    left = leave(place, f".dcmrecv-{TOKEN}-0.tmp")
    assert sweep(place, state) == ([left.name] if stays else [])


def test_fault_1_a_copied_state_directory(output: Path, state: Path, tmp_path: Path) -> None:
    """Of a receiver that lives: the copies of its tokens are locked by no one."""
    files = files_of(state)
    temporary = open_hidden(files.place(Directories(str(output)).get(())))
    fcntl.flock(temporary.fd, fcntl.LOCK_UN)
    [left] = output.iterdir()
    shutil.copytree(state, tmp_path / "copy")
    assert sweep(output, tmp_path / "copy") == [left.name]
    assert sweep(output, state) == [left.name]
    files.close()
    temporary.close()


@pytest.mark.parametrize("text", ["", "x", "1 2 3", "? ? ?\n", "\xff" * 1000])
def test_a_token_that_says_nothing(output: Path, state: Path, text: str) -> None:
    """A power cut has taken what was in it: age alone decides."""
    listed(state).write_text(text)
    left = leave(output, f".dcmrecv-{TOKEN}-0.tmp")
    assert sweep(output, state) == [left.name]
    os.utime(left, times=(0, 0))
    assert sweep(output, state) == []


def test_fault_1_a_living_process_of_ours(output: Path, state: Path, lock: Callable[[Path], int]) -> None:
    lock(listed(state))
    left = leave(output, f".dcmrecv-{TOKEN}-0.tmp", 10 * DAY)
    assert sweep(output, state) == [left.name]


@pytest.mark.parametrize("name", [f".dcmrecv-{TOKEN}-0.tmp", OLD_STYLE])
@pytest.mark.parametrize(("age", "stays"), [(0, True), (DAY - 60, True), (DAY + 60, False)])
@pytest.mark.parametrize("has_state", [True, False])
def test_fault_1_files_of_unknown_owners(
    output: Path, state: Path, name: str, age: float, stays: bool, has_state: bool
) -> None:
    """A receiver with another state directory, on another host perhaps, or one of an earlier version."""
    leave(output, name, age)
    assert sweep(output, state if has_state else None) == ([name] if stays else [])


def test_an_old_file_that_is_locked(output: Path, lock: Callable[[Path], int]) -> None:
    left = leave(output, OLD_STYLE)
    fd = lock(left)
    os.utime(left, times=(time.time() - 2 * DAY,) * 2)
    assert sweep(output) == [OLD_STYLE]
    os.close(fd)
    assert sweep(output) == []


def test_locks_say_nothing_on_a_network(
    output: Path, state: Path, lock: Callable[[Path], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither that a process lives nor that it is dead: age alone counts."""
    monkeypatch.setattr(hidden, "locks_count", lambda fd: False)
    listed(state)
    young = leave(output, f".dcmrecv-{TOKEN}-0.tmp")
    lock(leave(output, OLD_STYLE))
    os.utime(output / OLD_STYLE, times=(time.time() - 2 * DAY,) * 2)
    assert sweep(output, state) == [young.name]


@pytest.mark.parametrize("name", [".dcmrecv", ".dcmrecv-x.tmp", "CT.dcmrecv-h-00000000-1-1.tmp", OLD_STYLE + "x"])
def test_what_is_not_a_hidden_file(output: Path, name: str) -> None:
    leave(output, name, 10 * DAY)
    assert sweep(output) == [name]


def test_old_tokens_are_forgotten(output: Path, state: Path, lock: Callable[[Path], int]) -> None:
    """What else they have left is a day old by then."""
    young, old, living = (listed(state, f"{number:016}") for number in range(3))
    lock(living)
    for path in (old, living):
        os.utime(path, times=(time.time() - 2 * DAY,) * 2)
    assert sweep(output, state) == []
    assert sorted(state.glob("tokens/*")) == [young, living]


def test_a_failed_sweep_does_not_stop_storing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    left = tmp_path / ".dcmrecv" / "tmp" / OLD_STYLE
    left.mkdir(parents=True)
    os.utime(left, times=(time.time() - 2 * DAY,) * 2)
    publisher(tmp_path, capabilities=HIDDEN).publish((), "a", "overwrite", content())
    assert names(tmp_path) == ["a"]
    assert "cannot remove" in caplog.text
    Calls(monkeypatch).fail("scandir", errno.EIO)
    publisher(tmp_path, capabilities=HIDDEN).publish((), "b", "overwrite", content())
    assert "cannot sweep" in caplog.text


def test_somebody_else_sweeps_too(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(output, OLD_STYLE, 2 * DAY)
    calls = Calls(monkeypatch)
    calls.fail("unlink", errno.ENOENT)
    assert sweep(output) == [OLD_STYLE]
    assert calls.made == ["unlink"]


def test_a_file_that_is_gone_when_it_is_looked_at(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(output, OLD_STYLE, 2 * DAY)
    Calls(monkeypatch).fail("stat", errno.ENOENT, lambda path, **more: path == OLD_STYLE)
    assert sweep(output) == [OLD_STYLE]


def test_sweeping_happens_where_hidden_files_are(tmp_path: Path, mount: Mount) -> None:
    other = mount(tmp_path / "other", "-t", "tmpfs", "tmpfs")
    temporaries = tmp_path / ".dcmrecv" / "tmp"
    temporaries.mkdir(parents=True)
    for place in (temporaries, other):
        leave(place, OLD_STYLE, 2 * DAY)
    publish = publisher(tmp_path, capabilities=HIDDEN).publish
    publish((), "a", "overwrite", content())
    publish(("other",), "a", "overwrite", content())
    assert names(tmp_path) == ["a", "other/a"]


DIES = """
import os, signal, sys
from support.publishing import HIDDEN, Publisher
from dcmrecv_core.storage.directories import TEMPORARY_PARTS, Directories
from dcmrecv_core.storage.hidden import Tokens
tokens = Tokens(Directories(sys.argv[2]))
Publisher(sys.argv[1], fsync=False, capabilities=HIDDEN, tokens=tokens).open_spool()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_what_the_next_one_of_ours_sweeps(output: Path, state: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", DIES, output, state], env=environment, timeout=20, check=False)
    temporaries = output.joinpath(*TEMPORARY_PARTS)
    [left] = os.listdir(temporaries)
    assert sweep(temporaries) == [left], "nothing tells a receiver without that state directory whose it is"
    assert sweep(temporaries, state) == []


# What lasts


def test_open_files_are_renewed_every_hour(output: Path, state: Path) -> None:
    files = files_of(state)
    temporary = open_hidden(files.place(Directories(str(output)).get(())))
    [path] = output.iterdir()
    [token] = (state / "tokens").iterdir()
    stamps = []
    for now in (0.0, RENEWED_EVERY - 1, RENEWED_EVERY + 1):
        for each in (path, token):
            os.utime(each, times=(0, 0))
        files.renew(now)
        stamps.append([each.stat().st_mtime > 0 for each in (path, token)])
    assert stamps == [[True] * 2, [False] * 2, [True] * 2]
    temporary.close()
    files.renew(3 * RENEWED_EVERY)  # its number may be another file's now
    assert files.open == set()


def test_a_hidden_file_is_locked_by_its_owner(output: Path) -> None:
    temporary = open_hidden(files_of(None).place(Directories(str(output)).get(())))
    [path] = output.iterdir()
    os.utime(path, times=(0, 0))
    assert sweep(output) == [path.name]
    temporary.close()
    assert sweep(output) == []
