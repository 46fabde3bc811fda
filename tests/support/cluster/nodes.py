"""Receivers as the nodes of a cluster: each at a port of its own, killed as a whole, and started again."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

from dcmrecv_core.testing import until
from support.programs.receivers import Receiver

_START = 60.0
_END = 60.0


class Node:
    """A receiver in `directory` that does what `settings` say, a settings file."""

    def __init__(self, program: Path, directory: Path, settings: str, environment: Mapping[str, str]) -> None:
        self._program = program
        self._receiver = Receiver(directory)
        self._environment = environment
        self._earlier = ""
        (directory / "node.toml").write_text(settings)
        # bound, but not listening: the port stays ours while the node is down, and connections are refused
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.port: int = self._reserved.getsockname()[1]

    @property
    def log(self) -> str:
        """Of all its runs."""
        return self._earlier + self._receiver.log

    def start(self) -> None:
        """It need not listen yet when this returns."""
        if self._receiver_has_run:
            self._earlier += self._receiver.log
        command = [self._program, "--settings", "node.toml", self.port]
        self._receiver.run(command, env=dict(self._environment), start_new_session=True)

    @property
    def _receiver_has_run(self) -> bool:
        return hasattr(self._receiver, "process")

    def wait_until_it_listens(self) -> None:
        until(self._listens, "the node listens", _START, log=lambda: self.log)

    def _listens(self) -> bool:
        code = self._receiver.process.poll()
        assert code is None, f"the node has ended with {code}:\n{self.log}"
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL to all its processes at once."""
        os.killpg(self._receiver.process.pid, signal.SIGKILL)
        self._receiver.process.wait(_END)

    def stop(self) -> int:
        """SIGTERM: running associations may end by themselves; returns the exit code."""
        self._receiver.process.terminate()
        return self._receiver.process.wait(_END)

    def end(self) -> None:
        """For tear-down: whatever it does, it is gone."""
        if self._receiver_has_run and self._receiver.process.poll() is None:
            self.kill()
        self._reserved.close()
