"""Runs `console` blocks: each command of a page, in order, in one directory, and checks the output that the page shows.

A line on the page must be a line of the output, after the previous line on the page; `...` in it, or instead of it,
stands for anything. Times in microseconds may differ. A `dcmrecv` that receives runs during the following commands, on
a socket passed to it, so that the port 11112 of the pages may be any other.
"""

from __future__ import annotations

import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dcmrecv_core.testing.receivers import ACTIVATE

PORT = "11112"
DEADLINE = 60.0
_READS = re.compile(r"cat|find|ls|dcmrecvctl .*(queue list|status)$")
"""Commands that show what other processes have done, and may be a moment too early for it."""

_NOT_RECEIVING = {"--explain", "--list-plugins", "--dump-settings", "--new-plugin", "--help", "--version"}


@dataclass
class Step:
    command: str
    shown: list[str] = field(default_factory=list)

    @property
    def is_receiver(self) -> bool:
        words = shlex.split(self.command)
        return words[0] == "dcmrecv" and not _NOT_RECEIVING & set(words)


def steps_of(text: str) -> Iterator[Step]:
    step = None
    for line in text.splitlines():
        if line.startswith("$ "):
            if step:
                yield step
            step = Step(line[2:])
        elif step:
            step.shown.append(line)
    if step:
        yield step


def missing(shown: list[str], said: str) -> str | None:
    """The first line of the page that is not in the output at its place."""
    said = said.replace("\r", "")
    position = 0
    for line in shown:
        if line == "...":
            continue
        expected = ".*".join(re.escape(part) for part in line.split("..."))
        found = re.compile(f"^{expected}$", re.MULTILINE).search(said, position)
        if found is None:
            return line
        position = found.end()
    return None


class Session:
    """A shell and, beside it, one receiver at a time."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._environment = dict(environment)
        self._log = directory.with_suffix(".log")
        self._receiver: subprocess.Popen[bytes] | None = None
        self._receiving = Step("")
        self._port = PORT

    def run(self, step: Step) -> None:
        if step.is_receiver:
            self.end_receiver()
            self._start(step)
            return
        command = re.sub(rf"\b{PORT}\b", self._port, step.command)
        deadline = time.monotonic() + (DEADLINE if _READS.match(command) else 0)
        while (fault := self._fault_of(command, step.shown)) is not None:
            assert time.monotonic() < deadline, fault
            time.sleep(0.1)

    def _fault_of(self, command: str, shown: list[str]) -> str | None:
        """Run a command; what is wrong with its exit code or its output."""
        done = subprocess.run(
            ["sh", "-ec", command],
            cwd=self._directory,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=250,
            check=False,
        )
        said = done.stdout
        if done.returncode != any(line.startswith("error:") for line in shown):
            return f"{command}\n{said}"
        lost = missing(shown, said)
        return None if lost is None else f"{command}\n{lost!r} is not in:\n{said}"

    def _start(self, step: Step) -> None:
        assert step.shown, f"no output shows that it works: {step.command}"
        program, *words = shlex.split(step.command)
        with socket.create_server(("127.0.0.1", 0), backlog=16) as listener, self._log.open("wb") as log:
            self._port = str(listener.getsockname()[1])
            self._receiver = subprocess.Popen(
                [sys.executable, ACTIVATE, str(listener.fileno()), *self._script(program), *words],
                cwd=self._directory,
                env=self._environment,
                stdout=log,
                stderr=log,
                pass_fds=(listener.fileno(),),
            )
        self._receiving = step

    def _script(self, program: str) -> list[str]:
        """The program with its interpreter, which `execv` does not find."""
        [path] = [path for path in (Path(self._environment["PATH"].split(":")[0], program),) if path.exists()]
        interpreter = path.read_text().splitlines()[0].removeprefix("#!").split()
        return [*interpreter, str(path)]

    def end_receiver(self) -> None:
        """Waits until the receiver has written what the page shows, then ends it; after an error it ends by itself."""
        receiver, self._receiver, self._port = self._receiver, None, PORT
        if receiver is None:
            return
        try:
            deadline = time.monotonic() + DEADLINE
            while (lost := missing(self._receiving.shown, self._said())) is not None:
                assert time.monotonic() < deadline, f"{self._receiving.command}\n{lost!r} is not in:\n{self._said()}"
                time.sleep(0.02)
            ends_itself = any(line.startswith(("F:", "error:")) for line in self._receiving.shown)
            if not ends_itself:
                receiver.send_signal(signal.SIGTERM)
            assert receiver.wait(DEADLINE) == int(ends_itself), self._said()
        finally:
            receiver.kill()
            receiver.wait(DEADLINE)

    def _said(self) -> str:
        return self._log.read_text(errors="replace")
