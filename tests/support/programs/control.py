"""`dcmrecvctl`, and the processes of a receiver that it has replaced by others."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dcmrecv_core.testing import until
from support.programs.receivers import Receiver, run

_COMMAND = (sys.executable, "-c", "import sys; from dcmrecv_core.ctl.main import main; sys.exit(main())")


def dcmrecvctl(receiver: Receiver, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run it for this receiver, to its end."""
    return run(*_COMMAND, *arguments, "--state-dir", receiver.output / ".dcmrecv", env=dict(os.environ))


def begin_dcmrecvctl(receiver: Receiver, *arguments: object) -> subprocess.Popen[str]:
    """Start it; the caller waits for its end."""
    command = [*_COMMAND, *map(str, arguments), "--state-dir", str(receiver.output / ".dcmrecv")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def runs(pid: int) -> bool:
    """Zombies, which init has not reaped yet, do not count."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def programs_in(directory: Path) -> set[int]:
    """The processes that work in `directory`: receivers that were started there, and their children."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if link.readlink() == directory and runs(int(link.parts[2])):
                found.add(int(link.parts[2]))
    return found


class Upgrades:
    """The receiver, which is replaced again and again. `pid` is that of the program that serves."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.pid = receiver.process.pid

    def upgrade(self, *arguments: object) -> int:
        """Replace the program; returns the process id of the new one."""
        done = dcmrecvctl(self.receiver, "upgrade", *arguments)
        assert done.returncode == 0, f"{done.stderr}\n{self.receiver.log}"
        found = re.fullmatch(
            r"process (\d+) serves, process (\d+) ends when its associations have ended\n", done.stdout
        )
        assert found, done.stdout
        assert int(found[2]) == self.pid
        self.pid = int(found[1])
        return self.pid

    def new_program(self) -> int:
        """The process id of a program that was started and has not taken over yet."""
        return until(self._newcomer, "a new program", log=lambda: self.receiver.log)

    def _newcomer(self) -> int | None:
        """A process in this directory with the first one's command line, that is in a session of its own."""
        for pid in programs_in(self.receiver.directory):
            with suppress(OSError):
                session = os.getsid(pid)
                is_supervisor = _parent(pid) not in programs_in(self.receiver.directory)
                if is_supervisor and session not in (os.getsid(0), pid) and pid != self.pid:
                    return pid
        return None

    def stop(self) -> None:
        """End the program that serves, and wait until all programs have ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        self.wait_for_end()

    def wait_for_end(self) -> None:
        if self.pid != self.receiver.process.pid:
            assert self.receiver.process.wait(20) in (0, -signal.SIGKILL)
        until(lambda: not programs_in(self.receiver.directory), "all have ended", log=lambda: self.receiver.log)


def _parent(pid: int) -> int:
    text = Path(f"/proc/{pid}/stat").read_text()
    return int(text.rpartition(")")[2].split()[1])


@contextmanager
def upgrades(receiver: Receiver) -> Iterator[Upgrades]:
    """Whatever happens, no program is left at the end."""
    made = Upgrades(receiver)
    try:
        yield made
    finally:
        for pid in programs_in(receiver.directory):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        receiver.process.wait(20)
        until(lambda: not programs_in(receiver.directory), "all have ended", log=lambda: receiver.log)
