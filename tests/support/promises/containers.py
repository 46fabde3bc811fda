"""Receivers in PID namespaces of their own with one host name, as containers of one host have them."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path

from support.programs.environment import write_files
from support.programs.receivers import Receiver, create_listener, start_ours, system_program


class Container:
    """A receiver of ours whose supervisor is process 1; it can be killed and started again on the same socket.

    It stores into `output`; `files` are plugins beside it.
    """

    def __init__(self, program: Path, home: Path, output: Path, *arguments: str, files: Mapping[str, str]) -> None:
        write_files(home, files)
        (home / "out").symlink_to(output)
        self._program = program
        self._home = home
        self._arguments = arguments
        self._listener = create_listener()
        self.port: int = self._listener.getsockname()[1]
        self._receiver: Receiver | None = None

    def start(self) -> None:
        prefix = [system_program("unshare"), "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--uts"]
        if os.geteuid():
            prefix += ["--user", "--map-root-user"]
        self._receiver = start_ours(self._program, self._home, *self._arguments, prefix=prefix, listener=self._listener)

    @property
    def log(self) -> str:
        assert self._receiver is not None
        return self._receiver.log

    def kill(self) -> None:
        """Kill all processes at once, as the end of a container does."""
        assert self._receiver is not None
        self._receiver.kill()

    def stop(self) -> int:
        """SIGTERM to the supervisor; its exit code."""
        assert self._receiver is not None
        [supervisor] = self._receiver.workers()
        os.kill(supervisor, signal.SIGTERM)
        return self._receiver.process.wait(20)

    def end(self) -> None:
        """For tear-down: it has ended in any case."""
        self._listener.close()
        if self._receiver is not None:
            self._receiver.kill()
