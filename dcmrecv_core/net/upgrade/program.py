"""How this program was started, and its start anew: the same command line, with what is installed now."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from dcmrecv_core.net.child import fork
from dcmrecv_core.net.upgrade.channel import FAILED, Channel

VARIABLE = "DCMRECV_UPGRADE"
"""In the environment of the new program: what the old one passes to it, as JSON."""

_FIRST_FD = 3  # sd_listen_fds(3)
_OF_ONE_PROCESS = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", VARIABLE)


@dataclass(frozen=True, slots=True)
class Passed:
    """Descriptors for the new program. `sockets` are the listening ones, of which systemd keeps copies if they are
    `inherited`; `processes` is the lock of all processes that use the state directory, None without one."""

    sockets: Sequence[int]
    inherited: bool
    channel: int
    processes: int | None


@dataclass(frozen=True, slots=True)
class Program:
    """The command, and the directory and environment in which it was started."""

    command: tuple[str, ...]
    directory: str
    environment: dict[str, str] = field(repr=False)

    @classmethod
    def of_this_process(cls) -> Program:
        """To be called before anything changes the directory or the environment."""
        script = sys.argv[0]
        if os.path.dirname(script) and os.path.isfile(script) and os.access(script, os.X_OK):
            command = tuple(sys.argv)  # its first line says which interpreter runs it by now
        else:
            command = (sys.executable, *sys.orig_argv[1:])
        environment = {name: value for name, value in os.environ.items() if name not in _OF_ONE_PROCESS}
        try:
            directory = os.getcwd()
        except FileNotFoundError:  # it was removed
            directory = os.curdir
        return cls(command, directory, environment)

    def start(self, passed: Passed) -> int:
        """Start it in a session of its own, which a process of ours begins that ends at once: so the new program is
        a child of init or systemd only. Returns the number of that session. If the program cannot be executed,
        the channel says so. Raises OSError if the system refuses to fork."""

        def main() -> int:
            os.setsid()
            if not os.fork():
                self._execute(passed)
            return 0

        return fork(main, outlives_parent=True)

    def _execute(self, passed: Passed) -> None:
        for handled in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(handled, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)  # the old program must not hear of its signals
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        given = [*passed.sockets, passed.channel, *([] if passed.processes is None else [passed.processes])]
        beyond = _FIRST_FD + len(given)
        copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, beyond) for fd in given]  # none is overwritten
        for number, fd in enumerate(copies, _FIRST_FD):
            os.dup2(fd, number)
        os.closerange(beyond, os.sysconf("SC_OPEN_MAX"))  # some may be inheritable: those that other processes passed
        os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), 0)  # it has no terminal to ask for a password
        channel = _FIRST_FD + len(passed.sockets)
        extra = {
            "channel": channel,
            "processes": None if passed.processes is None else channel + 1,
            "inherited": passed.inherited,
        }
        variables = {
            "LISTEN_PID": str(os.getpid()),
            "LISTEN_FDS": str(len(passed.sockets)),
            VARIABLE: json.dumps(extra),
        }
        try:
            os.chdir(self.directory)
            os.execve(self.command[0], self.command, {**self.environment, **variables})
        except OSError as error:
            stream = Channel(socket.socket(fileno=channel))
            stream.send(FAILED, f"cannot execute {self.command[0]}: {error.strerror}")
