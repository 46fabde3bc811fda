"""Receivers as the nodes of a cluster: each at a port of its own, killed as a whole, and started again."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from dcmrecv_core.storage.journals.state_files import node_of
from dcmrecv_core.testing import until
from support.programs.receivers import Receiver, reserved_port

_START = 60.0
_END = 60.0
_NO_NEW = ": no new associations, "


class Node:
    """A receiver in `directory` that does what `settings` say, a settings file."""

    def __init__(self, program: Path, directory: Path, settings: str, environment: Mapping[str, str]) -> None:
        self._program = program
        self._receiver = Receiver(directory)
        self._environment = environment
        self._earlier = ""
        self._notifications: socket.socket | None = None
        (directory / "node.toml").write_text(settings)
        self._reserved = reserved_port()
        self.port: int = self._reserved.getsockname()[1]

    @property
    def log(self) -> str:
        """Of all its runs."""
        return self._earlier + self._receiver.log

    @property
    def name(self) -> str:
        """By which the nodes know each other."""
        return node_of(self._receiver.output / ".dcmrecv")

    def start(self) -> None:
        """It need not be ready when this returns."""
        if self._has_run:
            self._earlier += self._receiver.log
        address = self._receiver.directory / "notify"
        address.unlink(missing_ok=True)
        self._notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notifications.bind(str(address))
        self._notifications.setblocking(False)
        command = [self._program, "--settings", "node.toml", self.port]
        environment = {**self._environment, "NOTIFY_SOCKET": str(address)}
        self._receiver.run(command, env=environment, start_new_session=True)

    @property
    def _has_run(self) -> bool:
        return hasattr(self._receiver, "process")

    def wait_until_ready(self) -> None:
        if self._notifications is not None:
            until(self._is_ready, "the node is ready", _START, log=lambda: self.log)
            self._notifications.close()
            self._notifications = None

    def _is_ready(self) -> bool:
        code = self._receiver.process.poll()
        assert code is None, f"the node has ended with {code}:\n{self.log}"
        assert self._notifications is not None
        try:
            return b"READY=1" in self._notifications.recv(4096).split(b"\n")
        except BlockingIOError:
            return False

    def kill(self) -> None:
        """SIGKILL to all its processes at once."""
        os.killpg(self._receiver.process.pid, signal.SIGKILL)
        self._receiver.process.wait(_END)

    def pause(self) -> None:
        """SIGSTOP to all its processes."""
        os.killpg(self._receiver.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.killpg(self._receiver.process.pid, signal.SIGCONT)

    def stop(self, meanwhile: Callable[[], None] = lambda: None) -> int:
        """SIGTERM: running associations may end by themselves; returns the exit code. `meanwhile` happens when it takes
        no new ones."""
        times = self.log.count(_NO_NEW)
        self._receiver.process.terminate()
        until(lambda: self.log.count(_NO_NEW) > times, "no new associations", _END, log=lambda: self.log)
        meanwhile()
        return self._receiver.process.wait(_END)

    def end(self) -> None:
        """For tear-down: whatever it does, it is gone."""
        if self._has_run and self._receiver.process.poll() is None:
            self.kill()
        if self._notifications is not None:
            self._notifications.close()
        self._reserved.close()
