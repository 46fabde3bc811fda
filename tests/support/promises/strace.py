"""strace on a running process: its system calls, and injected errors or signals."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from dcmrecv_core.testing import until
from support.programs.receivers import system_program

COMMIT_PATH = (
    *("open", "openat", "mkdir", "mkdirat", "write", "writev", "pwrite64", "pwritev", "ftruncate", "sendfile"),
    *("fsync", "fdatasync", "sync_file_range", "close", "link", "linkat", "rename", "renameat", "renameat2"),
)
"""The system calls that write, flush and name files."""

WRITING = ("write", "writev", "pwrite64", "pwritev", "sendfile")
FLUSHING = ("fsync", "fdatasync")
WRITING_OUT = "sync_file_range"
NAMING = ("linkat", "renameat", "renameat2")
SENDING = ("sendto", "sendmsg", "write", "writev")
REMOVING = ("unlink", "unlinkat")

_CALL = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\w+|\?)(?:<(.*?)>(?:\(deleted\))?)?(?: (E[A-Z0-9]+))?.*")
_UNFINISHED = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)")
_DESCRIPTOR = re.compile(r"(\w+)<(.*?)>")


class Call(NamedTuple):
    """A system call. `opened` is the path of a descriptor that it made; it took effect between the lines `begun` and
    `ended` of the trace."""

    pid: int
    name: str
    arguments: str
    result: str
    opened: str
    error: str
    begun: int
    ended: int

    @property
    def is_response(self) -> bool:
        """Whether it sends P-DATA, PDU type 4, to a socket."""
        return self.name in SENDING and "<socket:" in self.arguments and '"\\4' in self.arguments

    @property
    def path(self) -> str:
        """The path of the descriptor that is its first argument."""
        found = _DESCRIPTOR.match(self.arguments)
        return found[2] if found else ""

    @property
    def made(self) -> str:
        """Of mkdirat: the path of the new directory."""
        return f"{self.path}/{_text(self.arguments.split(', ')[1])}"

    @property
    def naming(self) -> tuple[str, str, str, str]:
        """Of linkat and renameat: source directory and name, directory and name of the target."""
        source, old, target, new = self.arguments.split(", ")[:4]
        return _path(source), _text(old), _path(target), _text(new)


def _path(argument: str) -> str:
    found = _DESCRIPTOR.match(argument)
    assert found, argument
    return found[2]


def _text(argument: str) -> str:
    return argument.strip('"')


def parse(trace: Path) -> list[Call]:
    """The calls of a trace of `strace -f -y`, in the order in which they ended; those that did not end are left out."""
    calls: list[Call] = []
    begun: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(trace.read_text(errors="replace").splitlines()):
        start = number
        if unfinished := _UNFINISHED.fullmatch(line):
            begun[unfinished[1]] = (number, line.removesuffix(" <unfinished ...>"))
            continue
        if (resumed := _RESUMED.fullmatch(line)) and resumed[1] in begun:
            start, head = begun.pop(resumed[1])
            line = head + resumed[3]
        line = line.replace(" <detached ...>", ") = ?")  # strace has detached meanwhile
        if call := _CALL.fullmatch(line):
            pid, name, arguments, result, opened, error = call.groups()
            calls.append(Call(int(pid), name, arguments, result, opened or "", error or "", start, number))
    return calls


def stores(calls: list[Call]) -> list[list[Call]]:
    """The calls of one process, split after each response; calls after the last one are left out."""
    parts: list[list[Call]] = [[]]
    for call in calls:
        parts[-1].append(call)
        if call.is_response:
            parts.append([])
    return parts[:-1]


@contextmanager
def traced(pids: int | list[int], trace: Path, *options: str, strings: int = 16) -> Iterator[None]:
    """strace on one or several processes during the body; then `trace` has the calls that commit or send.

    Options may be injections: `inject=fsync:error=EIO:when=2` lets the second fsync from now on fail.
    """
    pids = [pids] if isinstance(pids, int) else pids
    traced = (*COMMIT_PATH, *REMOVING, "sendto", "sendmsg")
    expressions = [f"trace={','.join(f'?{call}' for call in traced)}", *options]
    chosen = [word for expression in expressions for word in ("-e", expression)]
    command = [system_program("strace"), "-f", "-y", "-s", strings, "-e", "signal=none", *chosen, "-o", trace]
    command += [word for pid in pids for word in ("-p", pid)]
    trace.unlink(missing_ok=True)
    said = trace.with_suffix(".said")
    with said.open("w") as stderr:
        strace = subprocess.Popen([str(word) for word in command], stderr=stderr)
    try:
        attached = [f"strace: Process {pid} attached" for pid in pids]
        until(lambda: all(line in said.read_text() for line in attached), "strace is attached", log=said.read_text)
        yield
    finally:
        strace.send_signal(signal.SIGINT)
        strace.wait(20)
