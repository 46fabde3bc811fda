"""Receivers under test as processes: ours, and DCMTK's dcmrecv to compare with.

Both are started, waited for until they listen, and stopped with a check of how they end. Nothing here sleeps for a
fixed time: `until` polls a condition against a deadline.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

ACTIVATE = Path(__file__).with_name("activate.py")
DEADLINE = 20.0

T = TypeVar("T")
Start = Callable[..., "Receiver"]


def until(condition: Callable[[], T], what: str, seconds: float = DEADLINE, log: Callable[[], str] = str) -> T:
    """Poll until `condition()` is true and return its value; AssertionError, with the end of a log, after `seconds`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what}\n{log()[-2000:]}")
        time.sleep(0.01)
    return value


def system_program(name: str) -> str:
    """The path of a program of the system; a machine without it fails the test, which is never skipped.

    Our own `dcmrecv` may come first in PATH, so only the system's directories are looked at.
    """
    path = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin")
    if path is None:
        raise AssertionError(f"{name} is not installed")
    return path


def run(*command: object, timeout: float = 30, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; its output comes back as text."""
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=timeout, **options)


def dcmtk(name: str, *arguments: object, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """Run one of DCMTK's senders, without Nagle's delay."""
    env = {**os.environ, "TCP_NODELAY": "1"}
    return run(system_program(name), *arguments, timeout=timeout, env=env)


class Receiver:
    """A receiver process that listens on `port` of localhost and stores below `output`.

    `clean_exit` is how it ends on SIGTERM: ours with 0, the original by the signal.
    """

    def __init__(
        self,
        command: Sequence[object],
        directory: Path,
        port: int,
        *,
        clean_exit: int = 0,
        umask: int = 0o022,
        **options: Any,
    ) -> None:
        self.port = port
        self.clean_exit = clean_exit
        self.directory = directory
        self.output = directory / "out"
        self.output.mkdir(exist_ok=True)
        self._log = directory / "stderr.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                umask=umask,
                **options,
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for_log(self, text: str) -> None:
        until(lambda: text in self.log, f"{text!r} in the log", log=lambda: self.log)

    def files(self) -> list[str]:
        """Every file below the output directory, hidden ones too, except what plugins keep in the state directory."""
        found = (path.relative_to(self.output) for path in self.output.rglob("*") if not path.is_dir())
        return sorted(str(path) for path in found if path.parts[0] != ".dcmrecv")

    def only_file(self) -> Path:
        [name] = self.files()
        return self.output / name

    def workers(self) -> set[int]:
        """Process ids of the direct children."""
        pid = self.process.pid
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    def worker_serving(self, port: int) -> int:
        """The child that holds the connection whose other end is `port` of localhost."""
        return until(lambda: self._only_holder(port), f"a worker that serves the connection from port {port}")

    def wait_until_over(self, port: int) -> None:
        """Wait until no worker holds the connection from `port` any more."""
        until(lambda: not self._holders(port), f"the end of the connection from port {port}", log=lambda: self.log)

    def _only_holder(self, port: int) -> int | None:
        """None as long as there are several: one that has just been forked still has what was the supervisor's."""
        holders = self._holders(port)
        return holders[0] if len(holders) == 1 else None

    def _holders(self, port: int) -> list[int]:
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if (int(fields[1][-4:], 16), int(fields[2][-4:], 16)) == (self.port, port):
                wanted = f"socket:[{fields[9]}]"
                return [pid for pid in self.workers() if wanted in _descriptors(pid)]
        return []

    def stop(self, signum: int = signal.SIGTERM, timeout: float = DEADLINE) -> int:
        """Send `signum`, wait for the end, return the exit code (negative: died by that signal)."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.process.wait(timeout)

    def end(self) -> int | None:
        """For tear-down: its exit code on SIGTERM, None if it had ended before; whatever happens, it is gone."""
        if self.process.poll() is not None:
            return None
        try:
            return self.stop()
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"SIGTERM does not end it:\n{self.log}") from error
        finally:
            self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)


def _descriptors(pid: int) -> set[str]:
    """What the descriptors of a process point to."""
    targets = set()
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            targets.add(str(link.readlink()))
        except OSError:  # closed, or the process ended, in the meantime
            continue
    return targets


def create_listener() -> socket.socket:
    """A socket to pass to a receiver; connections wait in it until the receiver accepts them."""
    return socket.create_server(("127.0.0.1", 0), backlog=512)


def start_ours(
    program: Path,
    directory: Path,
    *arguments: object,
    prefix: Sequence[object] = (),
    passed: socket.socket | None = None,
    **options: Any,
) -> Receiver:
    """Our dcmrecv on a socket passed to it, ready when it says so; `prefix` is a program that runs it (strace). The
    socket is a new one, or `passed`, which stays open here."""
    with (
        nullcontext(passed) if passed is not None else create_listener() as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready,
    ):
        port = listener.getsockname()[1]
        address = directory / "notify"
        ready.bind(str(address))
        ready.setblocking(False)
        fd = listener.fileno()
        activated = [sys.executable, "-I", "-S", ACTIVATE, fd, program, "-od", "out", *arguments]
        env = {**os.environ, **options.pop("env", {}), "NOTIFY_SOCKET": str(address)}
        receiver = Receiver([*prefix, *activated], directory, port, pass_fds=(fd,), env=env, **options)
        try:
            until(lambda: _is_ready(receiver, ready), "ready", log=lambda: receiver.log)
        except BaseException:
            receiver.kill()
            raise
        finally:
            address.unlink()
    return receiver


def _is_ready(receiver: Receiver, notifications: socket.socket) -> bool:
    if receiver.process.poll() is not None:
        raise AssertionError(f"ended with {receiver.process.returncode}:\n{receiver.log}")
    try:
        return b"READY=1" in notifications.recv(4096).split(b"\n")
    except BlockingIOError:
        return False


def start_original(directory: Path, *arguments: object, **options: Any) -> Receiver:
    """DCMTK's dcmrecv, without Nagle's delay."""
    env = {**os.environ, "TCP_NODELAY": "1"}
    command = [system_program("dcmrecv"), "-dhl", "-od", "out", *arguments]
    return start_on_port(directory, *command, clean_exit=-signal.SIGTERM, env=env, **options)


def start_on_port(directory: Path, *command: object, **options: Any) -> Receiver:
    """A receiver whose last parameter is a port that was free a moment ago; another one if it is not any more."""
    for _ in range(10):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        receiver = Receiver([*command, port], directory, port, **options)
        if until(lambda receiver=receiver: _listens_or_ended(receiver), f"{command[0]} listens") == "listens":
            return receiver
        if receiver.process.returncode != 64 and "already in use" not in receiver.log:
            raise AssertionError(f"ended with {receiver.process.returncode}:\n{receiver.log}")
    raise AssertionError("no free port in ten tries")


def _listens_or_ended(receiver: Receiver) -> str:
    if receiver.process.poll() is not None:
        return "ended"
    sockets = _descriptors(receiver.process.pid)
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                return "listens"
    return ""
