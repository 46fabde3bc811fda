"""How a program was started, and its start anew."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core.net.upgrade.channel import FAILED, Channel
from dcmrecv_core.net.upgrade.program import Passed, Program
from dcmrecv_core.testing import until

# The test runner may have threads; forking is safe as long as the child runs our code only
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

TELLS = """\
import json, os, signal, socket, sys
said = {
    "arguments": sys.argv[1:],
    "directory": os.getcwd(),
    "environment": dict(os.environ),
    "pid": os.getpid(),
    "session": os.getsid(0),
    "parent": os.getppid(),
    "blocked": [int(each) for each in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
    "open": sorted(map(int, os.listdir("/proc/self/fd"))),
    "input": os.readlink("/proc/self/fd/0"),
    "ports": [socket.socket(fileno=fd).getsockname()[1] for fd in (3, 4)],
}
open("said.new", "w").write(json.dumps(said))
os.rename("said.new", "said")
"""


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Starts a program that tells about itself; one more descriptor is inheritable."""

    def start(command: tuple[str, ...], environment: dict[str, str], processes: int | None) -> dict[str, Any]:
        program = Program(command, str(tmp_path), environment)
        with (
            socket.create_server(("127.0.0.1", 0)) as one,
            socket.create_server(("127.0.0.1", 0)) as other,
            socket.socket() as channel,
            socket.socket() as inheritable,
        ):
            inheritable.set_inheritable(True)
            passed = Passed([one.fileno(), other.fileno()], True, channel.fileno(), processes)
            session = program.start(passed)
            assert os.waitpid(session, 0)[1] == 0, "the process in between ends"
            said = until(lambda: (tmp_path / "said").exists() and (tmp_path / "said").read_text(), "it tells")
            found: dict[str, Any] = json.loads(str(said))
            assert found["session"] == session
            assert found["ports"] == [one.getsockname()[1], other.getsockname()[1]]
        return found

    return start


def test_it_gets_command_descriptors_and_environment(told: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    lock = os.open(tmp_path / "lock", os.O_RDONLY)
    said = told((sys.executable, "-c", TELLS, "-v", "11112"), {"SITE": "here"}, lock)
    os.close(lock)
    assert said["arguments"] == ["-v", "11112"]
    assert said["directory"] == str(tmp_path)
    environment = said["environment"]
    assert environment["SITE"] == "here"
    assert (environment["LISTEN_PID"], environment["LISTEN_FDS"]) == (str(said["pid"]), "2")
    assert json.loads(environment["DCMRECV_UPGRADE"]) == {"channel": 5, "processes": 6, "inherited": True}
    assert {0, 1, 2, 3, 4, 5, 6} <= set(said["open"]) <= {0, 1, 2, 3, 4, 5, 6, 7}, "7 is the listing itself"
    assert said["input"] == os.devnull
    assert said["blocked"] == []


def test_it_is_no_child_of_the_old_one(told: Callable[..., dict[str, Any]]) -> None:
    said = told((sys.executable, "-c", TELLS), {}, None)
    assert json.loads(said["environment"]["DCMRECV_UPGRADE"])["processes"] is None
    assert said["parent"] != os.getpid()
    assert said["session"] != os.getsid(0)
    assert said["session"] != said["pid"], "it could get a terminal"


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        passed = Passed([theirs.fileno()], False, theirs.fileno(), None)
        session = Program(("/none/dcmrecv",), str(tmp_path), {}).start(passed)
        theirs.close()
        os.waitpid(session, 0)
        stream = Channel(ours)
        said = until(stream.receive, "it says why")
        assert said == {FAILED: "cannot execute /none/dcmrecv: No such file or directory"}
        until(lambda: stream.receive() is None, "it ends")


def test_a_signal_before_the_program_is_executed_is_not_heard_by_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new process has the old one's wake-up descriptor until then."""
    ours, wakeup = socket.socketpair()
    ours.setblocking(False)
    wakeup.setblocking(False)
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(wakeup.fileno())
    there, here = socket.socketpair()
    monkeypatch.setattr(os, "execve", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        session = Program((sys.executable,), str(tmp_path), {}).start(Passed([], False, here.fileno(), None))
        here.close()
        os.waitpid(session, 0)
        there.settimeout(10)
        assert there.recv(1) == b"", "it has ended"
        with pytest.raises(BlockingIOError):
            ours.recv(1)
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, before)
        for sock in (ours, wakeup, there):
            sock.close()


def test_a_script_is_executed_as_it_is_installed_now(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "dcmrecv"
    script.write_text("#!/usr/bin/python3\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script), "-v", "104"])
    monkeypatch.setattr(sys, "orig_argv", ["/usr/bin/python3", str(script), "-v", "104"])
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    program = Program.of_this_process()
    assert program.command == (str(script), "-v", "104")
    assert program.directory == os.getcwd()
    assert program.environment["NOTIFY_SOCKET"] == "/run/notify"
    assert not {"LISTEN_PID", "WATCHDOG_PID"} & program.environment.keys()


def test_a_directory_that_was_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert Program.of_this_process().directory == "."


def test_a_module_is_run_by_its_interpreter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "__main__.py").touch()
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "__main__.py"), "104"])
    monkeypatch.setattr(sys, "orig_argv", ["python", "-P", "-m", "dcmrecv_core", "104"])
    assert Program.of_this_process().command == (sys.executable, "-P", "-m", "dcmrecv_core", "104")
