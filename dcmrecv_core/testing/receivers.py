"""A receiver under test: a process of its own on a free port, whose every wait has a deadline."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

from dcmrecv_core.testing.sending import send

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

DEADLINE = 20.0
"""Seconds that anything may take: the start, the end, a line in the log."""

_ACTIVATE = Path(__file__).with_name("activate.py")
_LOG_SHOWN = 4000

T = TypeVar("T")


def until(condition: Callable[[], T], what: str, seconds: float = DEADLINE, log: Callable[[], str] = str) -> T:
    """Poll until `condition()` is true and return its value; AssertionError, with the end of a log, after `seconds`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what}\n{log()[-_LOG_SHOWN:]}")
        time.sleep(0.01)
    return value


class Receiver:
    """`dcmrecv` with `plugins` and further `arguments`, in `directory`, storing below `output`; ready once it is made.

    It imports what the test process can import, from the same places. AssertionError, with its log, if it does not
    start.
    """

    def __init__(self, directory: Path, *arguments: object, plugins: Sequence[str | ModuleType] = ()) -> None:
        self.directory = directory
        self.output = directory / "out"
        self.output.mkdir(parents=True)
        self._log = directory / "stderr.log"
        named = [word for plugin in plugins for word in ("--plugin", _spec(plugin))]
        words = ["-v", "-od", str(self.output), *named, *map(str, arguments)]
        with (
            socket.create_server(("127.0.0.1", 0), backlog=128) as listener,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready,
        ):
            self.port: int = listener.getsockname()[1]
            address = directory / "notify"
            ready.bind(str(address))
            ready.setblocking(False)
            self.process = self._popen(listener.fileno(), words, str(address))
            try:
                until(lambda: self._is_ready(ready), "the receiver is ready", log=lambda: self.log)
            except BaseException:
                self.kill()
                raise

    @property
    def log(self) -> str:
        """All that it has said so far; start it with "-d" and it says more."""
        return self._log.read_text(errors="replace")

    def wait_for_log(self, text: str) -> None:
        """Wait until `text` is in the log; AssertionError with the log if that takes too long."""
        until(lambda: text in self.log, f"{text!r} in the log", log=lambda: self.log)

    def files(self) -> list[str]:
        """Every file below the output directory, relative to it, but for the state directory `.dcmrecv`."""
        found = (path.relative_to(self.output) for path in self.output.rglob("*") if not path.is_dir())
        return sorted(str(path) for path in found if path.parts[0] != ".dcmrecv")

    def send(self, *datasets: Dataset, calling_ae_title: str = "SENDER", called_ae_title: str = "ANY-SCP") -> list[int]:
        """Send instances in one association; the status of each C-STORE response."""
        return send(self.port, *datasets, calling_ae_title=calling_ae_title, called_ae_title=called_ae_title)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end; its exit code, 0 if all is well."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(DEADLINE)

    def end(self) -> str:
        """For the end of a test: stop it; what went wrong, "" for nothing. It is gone afterwards in any case."""
        if self.process.poll() is not None:
            return ""  # the test has seen to it, or its own assertions tell
        try:
            code = self.stop()
            return f"the receiver ended with {code}:\n{self.log[-_LOG_SHOWN:]}" if code else ""
        except subprocess.TimeoutExpired:
            return f"SIGTERM does not end the receiver:\n{self.log[-_LOG_SHOWN:]}"
        finally:
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait(DEADLINE)

    def _popen(self, fd: int, words: list[str], notify: str) -> subprocess.Popen[bytes]:
        python = sys.executable
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [python, "-I", "-S", _ACTIVATE, str(fd), python, "-P", "-m", "dcmrecv_core", *words],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(fd,),
                env={**os.environ, "PYTHONPATH": paths, "NOTIFY_SOCKET": notify},
            )

    def _is_ready(self, notifications: socket.socket) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the receiver ended with {self.process.returncode}:\n{self.log[-_LOG_SHOWN:]}")
        try:
            return b"READY=1" in notifications.recv(4096).split(b"\n")
        except BlockingIOError:
            return False


def _spec(plugin: str | ModuleType) -> str:
    return plugin if isinstance(plugin, str) else plugin.__name__
