"""`dcmrecvctl status` and `top`, for a receiver that is played here."""

from __future__ import annotations

import argparse
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dcmrecv_core.api.version import __version__
from dcmrecv_core.counters.document import Counters
from dcmrecv_core.ctl import status
from dcmrecv_core.ctl.main import main
from dcmrecv_core.ctl.receiver import CommandError, Receiver
from dcmrecv_core.net.control.address import open_listener
from support.promises.threads import beside

AT = datetime(2026, 11, 29, tzinfo=UTC)
COUNTERS = Counters(version="0.1.0", pid=4711, state="ready", not_ready=(), started_at=AT, counting_since=AT)
PROGRAM = """
import signal, sys
from dcmrecv_core.ctl.main import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started these tests without it
sys.exit(main())
"""
CONTROL = [sys.executable, "-c", PROGRAM]


@pytest.fixture
def answer() -> dict[str, Any]:
    """What the receiver answers; a test may change it."""
    return COUNTERS.as_dict()


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]) -> Iterator[Path]:
    """The state directory of a receiver that gives the same answer to any request."""
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    fd = os.open(tmp_path, os.O_RDONLY)
    with open_listener(fd) as listener:
        listener.settimeout(0.05)

        def serve(over: threading.Event) -> None:
            while not over.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.setblocking(True)
                    connection.recv(1000)
                    connection.sendall(json.dumps(answer).encode() + b"\n")

        with beside(serve):
            yield tmp_path
    os.close(fd)


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(("state", "code"), [("ready", 0), ("not ready", 3), ("draining", 3), ("stopping", 3)])
def test_whether_it_is_ready(state: str, code: int, as_json: bool) -> None:
    counters = replace(COUNTERS, state=state, not_ready=("why",))
    receiver = cast(Receiver, SimpleNamespace(counters=lambda: counters))
    written: list[str] = []
    assert status.run(receiver, argparse.Namespace(json=as_json), written.append) == code
    text = "".join(written)
    assert json.loads(text)["state"] == state if as_json else state in text


def test_for_people(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--state-dir", str(state)]) == 0
    assert capsys.readouterr().out.startswith("dcmrecv 0.1.0, process 4711: ready, on ")


@pytest.mark.parametrize("which", ["--state-dir", "--socket"])
def test_for_scripts(state: Path, which: str, capsys: pytest.CaptureFixture[str]) -> None:
    where = state if which == "--state-dir" else state / "control.sock"
    assert main([which, str(where), "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == COUNTERS.as_dict()


@pytest.mark.parametrize("command", ["status", "top", "refusals"])
def test_another_version(state: Path, answer: dict[str, Any], command: str, capsys: pytest.CaptureFixture[str]) -> None:
    answer["version"] = "7.0.0"
    del answer["started_at"]
    assert main([command, "--state-dir", str(state)]) == 1
    text = f"has version 7.0.0, which this version, {__version__}, does not understand"
    assert capsys.readouterr().err == f"dcmrecvctl: the receiver at {state}/control.sock {text}\n"


def test_a_command_that_it_does_not_know(
    state: Path, answer: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answer["error"] = "this receiver, of version 0.0.9, has the commands\nstatus\x1b[2J"
    assert main(["reload", "--state-dir", str(state)]) == 1
    assert capsys.readouterr().err == (
        "dcmrecvctl: this receiver, of version 0.0.9, has the commands\nstatus\\x1b[2J\n"
    )


def test_a_reload(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reload", "--state-dir", str(state)]) == 0
    assert capsys.readouterr().out == "settings reloaded\n"


def test_a_socket_does_not_say_where_queues_are(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue", "list", "--socket", str(state / "control.sock")]) == 1
    assert "needs --state-dir or --settings" in capsys.readouterr().err
    with pytest.raises(CommandError):
        _ = Receiver(state, None).known_state_directory


def test_top_in_a_pipe(state: Path) -> None:
    """One picture after the other, and no control characters."""
    with subprocess.Popen(
        [*CONTROL, "top", "--state-dir", state], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(8)]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert "\x1b" not in "".join(lines)
    assert lines[0].startswith("dcmrecv 0.1.0, process 4711") and lines.count("\n") > 1


def test_top_whose_reader_has_seen_enough(state: Path) -> None:
    done = subprocess.run(
        f"{shlex.join(CONTROL)} top --state-dir {state} | head -1",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("dcmrecv 0.1.0") and done.stderr == ""


def test_top_on_a_terminal_ends_with_q(state: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen([*CONTROL, "top", "--state-dir", state], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while b"process 4711" not in shown:
        shown += os.read(ours, 4096)
    assert shown.startswith(b"\x1b[H\x1b[2J")
    os.write(ours, b"xq")
    assert process.wait(20) == 0
    os.close(ours)


def test_top_of_a_receiver_that_ends(tmp_path: Path) -> None:
    assert main(["top", "--state-dir", str(tmp_path)]) == 1


def test_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(receiver: Receiver, arguments: argparse.Namespace, write: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(status, "run", interrupt)
    assert main(["status"]) == 130
