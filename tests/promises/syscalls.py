"""strace beside a process that runs: what it asks of the kernel, and errors or signals in place of an answer."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from receivers import system_program, until

COMMIT_PATH = (
    *("open", "openat", "mkdir", "mkdirat", "write", "writev", "pwrite64", "pwritev", "ftruncate", "sendfile"),
    *("fsync", "fdatasync", "close", "link", "linkat", "rename", "renameat", "renameat2"),
)
"""The system calls that bring bytes to the disk and give them a name."""

NAMING = ("link", "linkat", "rename", "renameat", "renameat2")
FLUSHING = ("fsync", "fdatasync")
SENDING = ("sendto", "sendmsg", "write", "writev")

_CALL = re.compile(r"(\d+) +(?:\d+\.\d+ +)?(\w+)\((.*)\) += (-?\w+|\?)(?:<[^>]*>)?(?: (E[A-Z]+))?.*")
_UNFINISHED = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)")


class Call(NamedTuple):
    """A system call. `begun` and `ended` are the numbers of the lines between which it took effect."""

    pid: int
    name: str
    arguments: str
    result: str
    error: str
    begun: int
    ended: int

    @property
    def is_response(self) -> bool:
        """Whether it sends P-DATA, PDU type 4, to a socket."""
        return self.name in SENDING and "<socket:" in self.arguments and '"\\4' in self.arguments


def parse(trace: Path) -> list[Call]:
    """The calls of a trace of `strace -f -y`, in the order in which they ended; those that did not are left out."""
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
        line = line.replace(" <detached ...>", ") = ?")  # strace let go of it meanwhile
        if call := _CALL.fullmatch(line):
            pid, name, arguments, result, error = call.groups()
            calls.append(Call(int(pid), name, arguments, result, error or "", start, number))
    return calls


@contextmanager
def traced(pid: int, trace: Path, *options: str, strings: int = 16) -> Iterator[None]:
    """strace on a process meanwhile; its calls of the commit path, and what it sends, are in `trace` afterwards.

    Options may be injections: `inject=fsync:error=EIO:when=2` lets its second fsync from now on fail.
    """
    expressions = [f"trace={','.join(f'?{call}' for call in (*COMMIT_PATH, 'sendto', 'sendmsg'))}", *options]
    chosen = [word for expression in expressions for word in ("-e", expression)]
    command = [system_program("strace"), "-f", "-y", "-q", "-s", strings, "-e", "signal=none", *chosen, "-o", trace]
    trace.unlink(missing_ok=True)
    strace = subprocess.Popen([str(word) for word in [*command, "-p", pid]], stderr=subprocess.PIPE)
    try:
        until(lambda: _is_traced(pid) or strace.poll() is not None, f"strace is attached to {pid}")
        yield
    finally:
        strace.send_signal(signal.SIGINT)
        _, said = strace.communicate(timeout=20)
    assert trace.exists(), said.decode()


def _is_traced(pid: int) -> bool:
    try:
        return "\nTracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
