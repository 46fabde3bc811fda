"""A receiver under test: a separate process on a free port; every wait for it has a deadline."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from dcmrecv_core.api.verdicts import Reject, RejectReason
from dcmrecv_core.counters.document import Counters
from dcmrecv_core.delivery.clock import TURNED_BY
from dcmrecv_core.net.control.client import socket_of
from dcmrecv_core.net.control.reading import ask_counters, with_queues
from dcmrecv_core.testing.sending import IMPLICIT_VR_LITTLE_ENDIAN, VERIFICATION, Status, context_of, rejection, send

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

DEADLINE = 20.0
"""Seconds for a wait, unless it is told how long."""

PATIENCE = 60.0
"""Seconds for the start, the end, a line in the log: a busy machine may need ten times as long as an idle one."""

ACTIVATE = Path(__file__).with_name("activate.py")
"""A program that passes a socket to the one that it runs."""

LOG_SHOWN = 4000
"""Characters: how much of the end of a log stands in an error."""

_BACKGROUND = re.compile(r"(background of plugin|delivery process|journal process).*: started \(process (\d+)\)")
_RELOADED = re.compile(r"settings (not )?reloaded")
_NOT_RELOADED = re.compile(r"settings not reloaded.*")

T = TypeVar("T")


def until(condition: Callable[[], T], what: str, seconds: float = DEADLINE, log: Callable[[], str] = str) -> T:
    """Wait for something that another process does: poll until `condition()` is true, and return its value.

    A condition that costs something is polled less often, to leave the processor to what is waited for.

    AssertionError after `seconds`, with `what` in its text, and the end of what `log()` returns.
    """
    end = time.monotonic() + seconds
    while True:
        started = time.monotonic()
        if value := condition():
            return value
        now = time.monotonic()
        if now > end:
            raise AssertionError(f"not within {seconds:g} s: {what}\n{log()[-LOG_SHOWN:]}")
        time.sleep(max(0.01, min(4 * (now - started), 1)))


class ReceiverProcess:
    """A receiver in `directory`, a process that stores below `output`; every wait for it has a deadline."""

    port: int
    process: subprocess.Popen[bytes]
    directory: Path
    output: Path

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.output = directory / "out"
        self.output.mkdir(parents=True, exist_ok=True)
        self._log = directory / "stderr.log"
        self._log.write_bytes(b"")

    @property
    def log(self) -> str:
        """The log so far, from before a restart as well; with "-d" in its arguments it has more."""
        return self._log.read_text(errors="replace")

    def wait_for_log(self, text: str) -> None:
        """Wait until `text` is in the log; AssertionError with the log if that takes too long."""
        until(lambda: text in self.log, f"{text!r} in the log", PATIENCE, lambda: self.log)

    def files(self) -> list[str]:
        """Every file below the output directory, relative to it, but for the state directory `.dcmrecv`."""
        # not rglob, which fails if a directory is removed meanwhile
        paths = (Path(place, name) for place, _, names in os.walk(self.output) for name in names)
        found = (path.relative_to(self.output) for path in paths)
        return sorted(str(path) for path in found if path.parts[0] != ".dcmrecv")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit code, 0 if all is well."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def run(self, command: Sequence[object], **options: Any) -> None:
        """Start `command`, with its output in the log. `options` are those of subprocess.Popen."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **options,
            )

    def run_until_ready(
        self,
        command: Sequence[object],
        environment: Mapping[str, str],
        prefix: Sequence[object] = (),
        listener: socket.socket | None = None,
        **options: Any,
    ) -> None:
        """Start our `command` on a free port, passed to it as a socket, and wait until it reports that it is ready.

        `prefix` is a program that runs it; the caller's `listener` stays open. AssertionError, with the log, if it does
        not start.
        """
        with (
            nullcontext(listener) if listener else socket.create_server(("127.0.0.1", 0), backlog=512) as passed,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready,
        ):
            self.port = passed.getsockname()[1]
            address = self.directory / "notify"
            ready.bind(str(address))
            ready.setblocking(False)
            fd = passed.fileno()
            env = {**os.environ, **environment, "NOTIFY_SOCKET": str(address)}
            activated = [sys.executable, "-I", "-S", ACTIVATE, fd, *command]
            self.run([*prefix, *activated], pass_fds=(fd,), env=env, **options)
            try:
                until(lambda: self._is_ready(ready), "the receiver is ready", PATIENCE, lambda: self.log)
            except BaseException:
                self.kill()
                raise
            finally:
                address.unlink()

    def _is_ready(self, notifications: socket.socket) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the receiver ended with {self.process.returncode}:\n{self.log[-LOG_SHOWN:]}")
        try:
            return b"READY=1" in notifications.recv(4096).split(b"\n")
        except BlockingIOError:
            return False


class Receiver(ReceiverProcess):
    """`dcmrecv` with `plugins` and further `arguments`, in `directory`, storing below `output`; ready once it is made.

    It imports what the test process can import, from the same places. A `listener` of the caller keeps its port through
    restarts, and what is connecting meanwhile. AssertionError, with its log, if it does not start.
    """

    state_directory: Path
    """What `settings.state_directory` is, unless a settings file says otherwise."""

    def __init__(
        self,
        directory: Path,
        *arguments: object,
        plugins: Sequence[str | ModuleType] = (),
        listener: socket.socket | None = None,
    ) -> None:
        super().__init__(directory)
        self._listener = listener
        named = [word for plugin in plugins for word in ("--plugin", _spec(plugin))]
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        module = [sys.executable, "-P", "-m", "dcmrecv_core"]
        self._clock = directory / "clock"
        words = [str(word) for word in arguments]
        state = words[words.index("--state-dir") + 1] if "--state-dir" in words else self.output / ".dcmrecv"
        self.state_directory = directory / state
        self._environment = {"PYTHONPATH": paths, TURNED_BY: str(self._clock)}
        self._command = [*module, "-v", "-od", self.output, *named, *words]
        self.run_until_ready(self._command, self._environment, listener=self._listener)

    def restart(self) -> None:
        """Let it end, unless it has ended or was killed, and start it again with the same arguments and directories, on
        another port. AssertionError, with the log, if it does not end cleanly or does not start."""
        fault = self.end()
        if fault:
            raise AssertionError(fault)
        self.run_until_ready(self._command, self._environment, listener=self._listener)

    def turn_clock(self, seconds: float) -> None:
        """Turn on the clock by which deliveries are tried again and studies are complete: as if so much time had
        passed."""
        before = float(self._clock.read_text()) if self._clock.exists() else 0.0
        new = self._clock.with_suffix(".new")
        new.write_text(str(before + seconds))
        new.replace(self._clock)

    def send(
        self, *datasets: Dataset, calling_ae_title: str = "SENDER", called_ae_title: str = "ANY-SCP"
    ) -> list[Status]:
        """Send instances in one association; the status of each C-STORE response, with its Error Comment.

        If one is not stored, the log is printed, and so pytest shows it if the test fails. AssertionError, with the
        log, if there is no association, no accepted context, or no response.
        """
        try:
            statuses = send(self.port, *datasets, calling_ae_title=calling_ae_title, called_ae_title=called_ae_title)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log[-LOG_SHOWN:]}") from error
        if any(statuses):
            print(f"statuses {statuses}, log of the receiver:\n{self.log[-LOG_SHOWN:]}")
        return statuses

    def expect_rejection(
        self,
        *datasets: Dataset,
        reason: RejectReason | None = None,
        calling_ae_title: str = "SENDER",
        called_ae_title: str = "ANY-SCP",
    ) -> Reject:
        """Propose an association for `datasets` (none: for a C-ECHO), which must be rejected, with `reason` if that is
        given; returns how it was. AssertionError, with the log, if it is accepted or rejected for another reason."""
        wanted = {context_of(dataset) for dataset in datasets}
        contexts = sorted(wanted) or [(VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN)]
        try:
            rejected = rejection(
                self.port, calling_ae_title=calling_ae_title, called_ae_title=called_ae_title, contexts=contexts
            )
            if reason is not None and rejected.reason is not reason:
                raise AssertionError(f"rejected with {rejected.reason.name}, not {reason.name}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log[-LOG_SHOWN:]}") from error
        return rejected

    def status(self) -> Counters:
        """What it counts, and what it does at the moment, as `read_counters` returns it."""
        return with_queues(ask_counters(socket_of(self.state_directory)), self.state_directory)

    def workers(self) -> set[int]:
        """The process ids of the workers, without `plugin_processes` and that of the journal. Only on Linux."""
        return self._children() - {int(number) for _title, number in _BACKGROUND.findall(self.log)}

    def plugin_processes(self) -> set[int]:
        """The process ids of what runs beside the workers for plugins: `background`, and deliveries. Only on Linux."""
        named = {int(number) for title, number in _BACKGROUND.findall(self.log) if not title.startswith("journal")}
        return self._children() & named

    def _children(self) -> set[int]:
        pid = self.process.pid
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    def kill_worker(self, pid: int | None = None) -> int:
        """Kill a worker, as the system does when memory runs out, and wait until it is gone; returns its process id.

        Without `pid` it is any one. A plugin can log its own: `os.getpid()`. Only on Linux.
        """
        victim = pid if pid is not None else min(until(self.workers, "a worker", log=lambda: self.log))
        with suppress(ProcessLookupError):  # it ends by itself just now
            os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in self.workers(), f"the end of worker {victim}", log=lambda: self.log)
        return victim

    def reload(self) -> None:
        """Let it read its settings again (SIGHUP), and wait until it has; AssertionError if it refuses them."""
        before = len(self.log)
        self.process.send_signal(signal.SIGHUP)
        until(lambda: _RELOADED.search(self.log, before), "the settings are read again", PATIENCE, lambda: self.log)
        refused = _NOT_RELOADED.search(self.log, before)
        if refused:
            raise AssertionError(refused[0])

    def end(self) -> str:
        """For the end of a test: stop it; returns what went wrong, or "". In any case the process is gone
        afterwards."""
        if self.process.poll() is not None:
            return ""  # the test has ended it, or its own assertions fail
        try:
            code = self.stop()
            return f"the receiver ended with {code}:\n{self.log[-LOG_SHOWN:]}" if code else ""
        except subprocess.TimeoutExpired:
            return f"SIGTERM does not end the receiver:\n{self.log[-LOG_SHOWN:]}"
        finally:
            self.kill()


def _spec(plugin: str | ModuleType) -> str:
    return plugin if isinstance(plugin, str) else plugin.__name__
