"""Receivers under test as processes: ours, and DCMTK dcmrecv for comparison.

Both are started, listen when the start returns, and are stopped with a check of their exit code. Nothing here sleeps
for a fixed time: `until`, from the plugin kit, polls a condition against a deadline.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from dcmrecv_core.testing.receivers import ReceiverProcess, until

Start = Callable[..., "Receiver"]

LONGEST_RUN = 100.0
"""Seconds for a program that ends by itself. A busy machine may need ten times as long as an idle one."""


def system_program(name: str) -> str:
    """The path of a program of the system; without it the test fails and is not skipped.

    Our own `dcmrecv` may come first in PATH, so only the system's directories are searched.
    """
    path = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin")
    if path is None:
        raise AssertionError(f"{name} is not installed")
    return path


def run(*command: object, timeout: float = LONGEST_RUN, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; its output comes back as text."""
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=timeout, **options)


def dcmtk(name: str, *arguments: object, timeout: float = LONGEST_RUN) -> subprocess.CompletedProcess[str]:
    """Run one of DCMTK's senders, without Nagle's delay."""
    env = {**os.environ, "TCP_NODELAY": "1"}
    return run(system_program(name), *arguments, timeout=timeout, env=env)


class Receiver(ReceiverProcess):
    """Any receiver, ours as installed or another one: a process that listens on `port` of localhost.

    The plugin kit's Receiver is ours only, runs the package that the tests import, and is for tests of plugins.
    `clean_exit` is how this one ends on SIGTERM: ours with 0, DCMTK's by the signal.
    """

    def __init__(self, directory: Path, clean_exit: int = 0) -> None:
        super().__init__(directory)
        self.clean_exit = clean_exit

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

    def wait_until_accepted(self, port: int) -> None:
        """Wait until the connection from `port` is no longer in the kernel's queue: a receiver that stops to listen
        resets it there."""
        until(lambda: self._inode(port) != "0", f"the connection from port {port} is accepted", log=lambda: self.log)

    def wait_until_over(self, port: int) -> None:
        """Wait until no worker holds the connection from `port` any more."""
        until(lambda: not self._holders(port), f"the end of the connection from port {port}", log=lambda: self.log)

    def _only_holder(self, port: int) -> int | None:
        """None while there are several: a worker that was just forked still has the supervisor's descriptors."""
        holders = self._holders(port)
        return holders[0] if len(holders) == 1 else None

    def _holders(self, port: int) -> list[int]:
        wanted = f"socket:[{self._inode(port)}]"
        return [pid for pid in self.workers() if wanted in open_files(pid)]

    def _inode(self, port: int) -> str:
        """That of our end of the connection from `port`, "0" while there is none."""
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if (int(fields[1][-4:], 16), int(fields[2][-4:], 16)) == (self.port, port):
                return fields[9]
        return "0"

    def end(self) -> int | None:
        """For tear-down: its exit code on SIGTERM, None if it had ended before. It has ended in any case."""
        if self.process.poll() is not None:
            return None
        try:
            return self.stop()
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"SIGTERM does not end it:\n{self.log}") from error
        finally:
            self.kill()


def open_files(pid: int) -> set[str]:
    """What the descriptors of a process point to, without those that it closes meanwhile."""
    targets = set()
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            targets.add(str(link.readlink()))
        except OSError:  # or the process has ended
            continue
    return targets


def is_free(port: int) -> bool:
    """Whether a server may listen on this port of localhost."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True


def create_listener() -> socket.socket:
    """A socket to pass to a receiver; connections wait in it until the receiver accepts them."""
    return socket.create_server(("127.0.0.1", 0), backlog=512)


def start_ours(program: Path, directory: Path, *arguments: object, umask: int = 0o022, **options: Any) -> Receiver:
    """Our dcmrecv on a socket passed to it, ready when it reports so; `prefix` is a program that runs it (strace),
    `listener` the socket, if it is to stay open here."""
    receiver = Receiver(directory)
    environment = options.pop("env", {})
    receiver.run_until_ready([program, "-od", "out", *arguments], environment, umask=umask, **options)
    return receiver


def start_original(directory: Path, *arguments: object, **options: Any) -> Receiver:
    """DCMTK dcmrecv, without Nagle's delay."""
    env = {**os.environ, "TCP_NODELAY": "1"}
    command = [system_program("dcmrecv"), "-dhl", "-od", "out", *arguments]
    return start_on_port(directory, *command, clean_exit=-signal.SIGTERM, env=env, **options)


def start_on_port(
    directory: Path, *command: object, clean_exit: int = 0, umask: int = 0o022, **options: Any
) -> Receiver:
    """A receiver whose last parameter is a port that was free just now; tries another one if it is taken."""
    for _ in range(10):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        receiver = Receiver(directory, clean_exit)
        receiver.port = port
        receiver.run([*command, port], umask=umask, **options)
        if until(lambda receiver=receiver: listens_or_ended(receiver), f"{command[0]} listens", 60) == "listens":
            return receiver
        if receiver.process.returncode != 64 and "already in use" not in receiver.log:
            raise AssertionError(f"ended with {receiver.process.returncode}:\n{receiver.log}")
    raise AssertionError("no free port in ten tries")


def reserved_port() -> socket.socket:
    """Bound, and not listening: its port is that of receivers that are started one after the other, and of no other
    socket; connections are refused in between."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


def free_port() -> int:
    """One below those that the system gives to connections: no program takes it while its program is started again."""
    end = max(int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]), 11_000)
    for _ in range(100):
        port = random.randrange(10_000, end)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no free port")


def listens_or_ended(receiver: Receiver) -> str:
    if receiver.process.poll() is not None:
        return "ended"
    sockets = open_files(receiver.process.pid)
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                return "listens"
    return ""
