"""A state directory has one owner: the first supervisor that locks it, until it and all its children have ended."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dcmrecv_core.api.errors import StateDirectoryError
from dcmrecv_core.hooks.plugins import Plugins
from dcmrecv_core.net.supervisor import ownership
from dcmrecv_core.net.supervisor.ownership import StateDirectory
from dcmrecv_core.settings.settings import Settings
from support.plugins import hooks, load

# The test runner may have threads; forking is safe as long as the child runs our code only
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

Take = Callable[..., StateDirectory]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(port=11112, output_directory=str(tmp_path))


@pytest.fixture
def take(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Take]:
    taken: list[StateDirectory] = []
    monkeypatch.setattr(ownership, "END_SECONDS", 20.0)  # a busy machine may need more than one

    def start(chosen: Settings = settings, timeout: float = 0.0) -> StateDirectory:
        taken.append(StateDirectory.take(chosen, timeout))
        return taken[-1]

    yield start
    for state in taken:
        state.release()


@pytest.fixture
def forked() -> Iterator[Callable[[Callable[[], None]], int]]:
    """Forks a child that calls a function, reports that, and waits until it is killed."""
    pids: list[int] = []

    def fork(does: Callable[[], None]) -> int:
        ours, theirs = os.pipe()
        pid = os.fork()
        if not pid:
            does()
            os.write(theirs, b"!")
            signal.pause()
        pids.append(pid)
        os.close(theirs)
        assert os.read(ours, 1) == b"!"
        os.close(ours)
        return pid

    yield fork
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_the_first_receiver_gets_it(take: Take, settings: Settings, tmp_path: Path) -> None:
    state = take()
    assert state.lock is not None
    applied = state.apply(settings)
    assert applied.owns_state
    assert applied.state_directory == tmp_path / ".dcmrecv"
    text = (tmp_path / ".dcmrecv" / "owner.lock").read_text()
    assert text.startswith(f"host {os.uname().nodename}, process {os.getpid()}, port 11112, since 20")


def test_another_receiver_does_not(take: Take, settings: Settings) -> None:
    take()
    second = take()
    assert second.lock is None
    assert f"process {os.getpid()}, port 11112" in second.owner
    applied = second.apply(settings)
    assert not applied.owns_state
    with pytest.raises(StateDirectoryError, match=r"belongs to another receiver \(host .*, port 11112, .*--state-dir"):
        _ = applied.own("site").state_directory


def test_with_its_own_state_directory_it_does(take: Take, settings: Settings, tmp_path: Path) -> None:
    take()
    other = Settings(output_directory=str(tmp_path), state_dir=str(tmp_path / "a" / "b"))
    assert take(other).lock is not None
    assert (tmp_path / "a" / "b" / "owner.lock").exists()


def test_the_second_receiver_warns(take: Take, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    first, second = take(), take()
    first.check(first.apply(settings), load(hooks(background=lambda settings: None)))
    assert caplog.messages == []
    second.check(second.apply(settings), Plugins())
    [warning] = caplog.messages
    assert "belongs to another receiver (host" in warning
    assert "--state-dir" in warning


def test_a_plugin_that_needs_it_is_refused(take: Take, settings: Settings) -> None:
    take()
    second = take()
    plugins = load(hooks(background=lambda settings: None))
    with pytest.raises(StateDirectoryError, match=r"^plugin \w+ needs the state directory .* \(host .*--state-dir$"):
        second.check(second.apply(settings), plugins)


def test_a_clean_end_leaves_nothing(take: Take, settings: Settings, tmp_path: Path) -> None:
    state = take()
    (tmp_path / ".dcmrecv" / "tokens").mkdir()
    state.release()
    assert list(tmp_path.iterdir()) == []
    assert take().lock is not None


def test_files_of_others_in_it_stay(take: Take, tmp_path: Path) -> None:
    state = take()
    (tmp_path / ".dcmrecv" / "index.sqlite").touch()
    state.release()
    assert [path.name for path in (tmp_path / ".dcmrecv").iterdir()] == ["index.sqlite"]


def test_an_administrators_directory_stays(take: Take, tmp_path: Path) -> None:
    place = tmp_path / "state"
    take(Settings(output_directory=str(tmp_path), state_dir=str(place))).release()
    assert list(place.iterdir()) == []


def test_a_disk_that_hangs_at_the_end(take: Take, children: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    state = take()

    def hang(lock: object) -> int:
        signal.alarm(20)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        signal.pause()
        return 0

    monkeypatch.setattr(ownership, "_remove_files", hang)
    monkeypatch.setattr(ownership, "END_SECONDS", 0.1)
    begun = time.monotonic()
    state.release()
    assert time.monotonic() - begun < 5
    [child] = children
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_without_a_fork_the_files_stay(take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(main: object, **options: object) -> int:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    state = take()
    monkeypatch.setattr(ownership, "fork", fail)
    state.release()
    assert (tmp_path / ".dcmrecv" / "owner.lock").exists()
    assert take().lock is not None, "they are not locked"


# Children


def test_the_start_waits_for_a_child_of_a_killed_receiver(
    take: Take, forked: Callable[[Callable[[], None]], int], caplog: pytest.LogCaptureFixture
) -> None:
    state = take()
    child = forked(state.close_in_child)
    assert state.lock is not None
    os.close(state.lock.owner)  # as by the end of the supervisor
    os.close(state.lock.processes)
    state.lock = None
    second = take()
    assert second.owner == "its main process is gone, others of it still run"
    killer = threading.Timer(0.2, os.kill, (child, signal.SIGKILL))
    killer.start()
    third = take(timeout=10.0)
    killer.join()
    assert third.lock is not None
    assert "waiting for processes of a receiver that was killed" in caplog.text


def test_the_start_does_not_wait_for_a_living_owner(take: Take, forked: Callable[[Callable[[], None]], int]) -> None:
    state = take()
    forked(state.close_in_child)
    begun = time.monotonic()
    assert take(timeout=30.0).lock is None
    assert time.monotonic() - begun < 5


def test_children_do_not_keep_the_owners_lock(take: Take, forked: Callable[[Callable[[], None]], int]) -> None:
    state = take()
    forked(state.close_in_child)
    assert state.lock is not None
    os.close(state.lock.owner)
    os.close(state.lock.processes)
    state.lock = None
    assert "its main process is gone" in take().owner


def test_files_stay_while_children_run(take: Take, forked: Callable[[Callable[[], None]], int], tmp_path: Path) -> None:
    state = take()
    forked(state.close_in_child)
    state.release()
    assert sorted(path.name for path in (tmp_path / ".dcmrecv").iterdir()) == ["owner.lock", "processes.lock"]


# Where locking is impossible


def test_without_an_output_directory(take: Take, tmp_path: Path) -> None:
    """That ends the start with its own error; nothing is created."""
    assert take(Settings(output_directory=str(tmp_path / "none"))).lock is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks(
    take: Take, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The receiver starts, and plugins use the directory."""

    def fail(fd: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    state = take()
    applied = state.apply(settings)
    state.check(applied, load(hooks(background=lambda settings: None)))
    assert "cannot lock state directory" in caplog.text
    assert "No locks available" in caplog.text
    assert applied.state_directory.name == ".dcmrecv"
    assert not applied.owns_state


def test_a_file_system_that_locks_only_what_can_be_written(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS does so."""
    flock = fcntl.flock

    def choosy(fd: int, how: int) -> None:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", choosy)
    assert take().lock is not None
    assert take().owner


def test_a_full_disk(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        assert take().lock is not None
    assert "not described yet" in take().owner


def test_its_file_system_can_be_remounted_read_only(take: Take) -> None:
    """That is refused while anything has a file open for writing."""
    lock = take().lock
    assert lock is not None
    for fd in (lock.owner, lock.processes):
        assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY


PLANTS: dict[str, Callable[[Path, Path], None]] = {
    "FIFO": lambda at, secret: os.mkfifo(at),
    "hard link": lambda at, secret: at.hardlink_to(secret),
    "link": lambda at, secret: at.symlink_to(secret),
    "directory": lambda at, secret: at.mkdir(),
}


@pytest.mark.parametrize("name", ["owner.lock", "processes.lock"])
@pytest.mark.parametrize("plant", PLANTS.values(), ids=list(PLANTS))
def test_planted_files_are_not_written_to(
    take: Take, tmp_path: Path, plant: Callable[[Path, Path], None], name: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (tmp_path / ".dcmrecv").mkdir()
    plant(tmp_path / ".dcmrecv" / name, secret)
    state = take()
    assert state.lock is None
    assert state.problem
    assert secret.read_bytes() == b"secret"


def test_files_that_the_last_owner_removes_meanwhile(
    take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The locked file has to be the one with that name."""
    is_locked, times = ownership.is_locked, iter(range(2))

    def remove_and_lock(fd: int) -> bool:
        if next(times, None) is not None:
            (tmp_path / ".dcmrecv" / "owner.lock").unlink()
        return is_locked(fd)

    monkeypatch.setattr(ownership, "is_locked", remove_and_lock)
    assert take().lock is not None
    monkeypatch.setattr(ownership, "is_locked", is_locked)
    assert take().owner


def test_a_directory_that_the_last_owner_removes_meanwhile(
    take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, times = ownership._lock, iter(range(1))

    def remove_and_lock(directory: object, name: str) -> int:
        if next(times, None) is not None:
            (tmp_path / ".dcmrecv").rmdir()
        return lock(directory, name)  # type: ignore[arg-type]

    monkeypatch.setattr(ownership, "_lock", remove_and_lock)
    assert take().lock is not None


@pytest.mark.parametrize(("text", "shown"), [("", "not described yet"), ("a\n\x1b[31mb\n", "a[31mb")])
def test_the_owner_is_described(take: Take, tmp_path: Path, text: str, shown: str) -> None:
    take()
    (tmp_path / ".dcmrecv" / "owner.lock").write_text(text)
    assert shown in take().owner


def test_a_socket_that_was_passed(take: Take, tmp_path: Path) -> None:
    take(Settings(output_directory=str(tmp_path)))
    assert "a port that was passed to it" in take().owner


def test_the_log_is_the_programs() -> None:
    assert ownership.log is logging.getLogger("dcmrecv")


# An upgrade


def test_the_lock_passes_on_without_a_moment_in_between(
    take: Take, settings: Settings, tmp_path: Path, children: list[int]
) -> None:
    old = take()
    assert old.lock is not None
    new = StateDirectory.inherit(settings, os.dup(old.lock.processes))
    assert new.apply(settings).owns_state
    assert take().owner
    [owner] = old.pass_on()
    new.take_over(os.dup(owner), settings)
    assert take().owner
    old.hand_over()
    assert old.pass_on() == ()
    assert take().owner
    old.release()
    text = tmp_path / ".dcmrecv" / "owner.lock"
    assert text.exists(), "it is another program's"
    os.waitpid(children[0], 0)  # which has described the owner
    new.release()
    assert not text.exists()


def test_the_new_owner_is_described(take: Take, settings: Settings, tmp_path: Path, children: list[int]) -> None:
    old = take()
    assert old.lock is not None
    path = tmp_path / ".dcmrecv" / "owner.lock"
    path.write_text("somebody else")
    new = StateDirectory.inherit(settings, os.dup(old.lock.processes))
    new.take_over(os.dup(old.pass_on()[0]), settings)
    os.waitpid(children[0], 0)  # which describes the owner
    assert f"process {os.getpid()}, port 11112" in path.read_text()
    old.hand_over()
    old.release()
    new.release()


def test_another_state_directory_cannot_be_inherited(take: Take, settings: Settings, tmp_path: Path) -> None:
    old = take()
    assert old.lock is not None
    other = replace(settings, state_dir=str(tmp_path / "other"))
    with pytest.raises(StateDirectoryError, match="other is not that of the running receiver, which only a restart"):
        StateDirectory.inherit(other, old.lock.processes)
    assert not (tmp_path / "other").exists()
    with pytest.raises(StateDirectoryError, match="is not that of the running receiver"):
        StateDirectory.inherit(settings, old.lock.owner or 0)


def test_without_a_state_directory_nothing_passes_on() -> None:
    state = StateDirectory(owner="another")
    assert state.pass_on() == ()
    state.take_over(0, Settings())
    state.hand_over()
    assert state.lock is None
