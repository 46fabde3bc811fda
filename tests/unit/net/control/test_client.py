"""Asking a receiver: each way in which that can fail has a text that says what to do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from dcmrecv_core.net.control.client import CommandFailedError, ControlConnectionError, ask
from support.programs.control_socket import answering


def test_an_answer(tmp_path: Path) -> None:
    with answering(tmp_path / "s", b'{"version": "0.1.0", "a": 1}\n'):
        assert ask(tmp_path / "s", "status") == {"version": "0.1.0", "a": 1}


def test_a_failure(tmp_path: Path) -> None:
    with (
        answering(tmp_path / "s", b'{"version": "0.1.0", "error": "not today"}\n'),
        pytest.raises(CommandFailedError, match=r"^not today$"),
    ):
        ask(tmp_path / "s", "status")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"", "has closed the connection without an answer"),
        (b'{"version"', "has closed the connection without an answer"),
        (b"HTTP/1.1 400 Bad Request\r\n", "is no receiver of version"),
        (b"[1]\n", "is no receiver of version"),
        (b"\xff\n", "is no receiver of version"),
    ],
)
def test_what_is_no_answer(tmp_path: Path, answer: bytes, text: str) -> None:
    with answering(tmp_path / "s", answer), pytest.raises(ControlConnectionError, match=text):
        ask(tmp_path / "s", "status")


@pytest.mark.parametrize("name", ["s", "missing/s"])
def test_it_does_not_run(tmp_path: Path, name: str) -> None:
    with pytest.raises(ControlConnectionError, match=f"no receiver runs .*: there is no {tmp_path / name}"):
        ask(tmp_path / name, "status")


def test_it_was_killed(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
    with pytest.raises(ControlConnectionError, match="does not run any more"):
        ask(tmp_path / "s", "status")


def test_it_does_not_answer(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with pytest.raises(ControlConnectionError, match="does not answer"):
            ask(tmp_path / "s", "status", seconds=0.01)


def test_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ControlConnectionError, match=r"cannot use .*/file/s: Not a directory"):
        ask(tmp_path / "file" / "s", "status")
