"""Where the control socket is, and what is there from before."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmrecv_core.net.control import address

LONG = "d" * 200
"""A Unix socket's address has 107 bytes."""


@pytest.fixture(autouse=True)
def _no_runtime_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / LONG / ".dcmrecv"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def fd(state: Path) -> Iterator[int]:
    fd = os.open(state, os.O_RDONLY)
    yield fd
    os.close(fd)


def serves(listener: socket.socket, path: Path) -> bool:
    """Whether a connection with the socket at `path` arrives at this one."""
    with address.connect(str(path), 5.0):
        accepted, _ = listener.accept()
        accepted.close()
    return True


def test_in_the_state_directory(state: Path, fd: int) -> None:
    with address.open_listener(fd) as listener:
        status = (state / address.NAME).lstat()
        assert stat.S_ISSOCK(status.st_mode)
        assert stat.S_IMODE(status.st_mode) == 0o600
        assert serves(listener, state / address.NAME)
    address.remove(fd)
    assert list(state.iterdir()) == []


@pytest.mark.parametrize("left", ["socket", "link", "file"])
def test_what_a_killed_receiver_has_left_is_replaced(state: Path, fd: int, left: str) -> None:
    if left == "socket":
        address.open_listener(fd).close()
    elif left == "link":
        (state / address.NAME).symlink_to("/nowhere")
    else:
        (state / address.NAME).write_text("")
    with address.open_listener(fd) as listener:
        assert serves(listener, state / address.NAME)


def test_in_the_runtime_directory(state: Path, fd: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = tmp_path / ("r" * 200)
    runtime.mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{runtime}:/run/other")
    address.open_listener(fd).close()
    with address.open_listener(fd) as listener:
        assert (state / address.NAME).readlink() == runtime / address.NAME
        assert stat.S_ISSOCK((runtime / address.NAME).lstat().st_mode)
        assert serves(listener, state / address.NAME)
    address.remove(fd)
    assert list(state.iterdir()) == list(runtime.iterdir()) == []


def test_another_receiver_in_the_runtime_directory(
    fd: int, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps its socket."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    with address.open_listener(fd):
        other = tmp_path / "other"
        other.mkdir()
        at = os.open(other, os.O_RDONLY)
        with pytest.raises(FileExistsError, match=f"another receiver listens on {tmp_path}/control.sock"):
            address.open_listener(at)
        address.remove(at)
        os.close(at)
        connection = address.connect(str(tmp_path / address.NAME), 5.0)
        connection.close()


def test_the_umask_is_as_before(fd: int) -> None:
    before = os.umask(0o027)
    try:
        address.open_listener(fd).close()
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
