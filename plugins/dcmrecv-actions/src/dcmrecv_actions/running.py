"""One run of a command: a process group that ends when the process that started it ends, even if that is killed.

    this process ──fork── guard ──spawn── the command, leader of its process group
          └───── a pipe with what the command writes ─────┘

The guard waits for two signals. SIGCHLD: the command has ended, and so does the guard, with its exit code. SIGTERM:
this process stops the command, or has ended itself (the kernel sends it then, on Linux only); the group gets SIGTERM
and after `GRACE` SIGKILL. A command that went on would run twice, since its delivery is repeated.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from typing import BinaryIO, NoReturn

GRACE = 0.6
"""Seconds from SIGTERM to SIGKILL. If the receiver kills this process meanwhile, the guard goes on."""

NOT_FOUND = 127
NOT_STARTED = 126
BY_SIGNAL = 128
"""Exit codes as shells have them: no such program; it cannot be executed; this plus the signal that ended it."""

_ALL = signal.valid_signals()
_RESET = _ALL - {signal.SIGKILL, signal.SIGSTOP}
_PR_SET_PDEATHSIG = 1
_PIPE_SIZE = 65536

_prctl = getattr(ctypes.CDLL(None), "prctl", None)


def run(
    arguments: Sequence[str], environment: Mapping[str, str], standard_input: BinaryIO, say: Callable[[str], None]
) -> int:
    """Run a program to its end; returns its exit code.

    `say` is called with each line of its standard output and standard error. What the program leaves running goes on
    after that, and what it writes is not read. Raises ValueError if an argument or a variable holds a NUL or something
    else that a program cannot be given, OSError if there are no processes or descriptors left.
    """
    words = [_encoded(word) for word in arguments]
    variables = {_encoded(name): _encoded(value) for name, value in environment.items()}
    with _pipe() as (output, output_of_command), _pipe() as (ended, end_of_guard):
        descriptors = (standard_input.fileno(), output_of_command.fileno(), end_of_guard.fileno())
        parent = os.getpid()
        guard = status = 0
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL)  # the guard must not run the handlers of this process
        try:
            guard = os.fork()
            if not guard:
                _guard_and_exit(words, variables, descriptors, parent)
            output_of_command.close()
            end_of_guard.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for line in _lines(_read(output.fileno(), ended.fileno())):
                say(line)
        except BaseException:
            if guard:
                os.kill(guard, signal.SIGTERM)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            if guard:  # with the pipe still open: a command may say something when it is told to end
                status = os.waitpid(guard, 0)[1]
    return _exit_code(status)


@contextmanager
def _pipe() -> Iterator[tuple[FileIO, FileIO]]:
    """The ends for reading and writing."""
    reading, writing = os.pipe()
    with FileIO(reading) as source, FileIO(writing, "w") as sink:
        yield source, sink


def _encoded(text: str) -> bytes:
    encoded = os.fsencode(text)
    if b"\0" in encoded:
        raise ValueError(f"{text!r} holds a NUL")
    return encoded


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else BY_SIGNAL - code


def _read(output: int, ended: int) -> Iterator[bytes]:
    """What comes from `output` until no process holds the other end of `ended`: a process that the command has left
    running may hold that of `output` for ever."""
    running = True
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        selector.register(ended, selectors.EVENT_READ)
        while running:
            ready = {key.fd for key, _ in selector.select()}
            if ended in ready:
                running = False
                ready = {key.fd for key, _ in selector.select(0)}  # what it has written before its end
            if output in ready:
                data = os.read(output, _PIPE_SIZE)
                yield data
                if not data:
                    selector.unregister(output)


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Lines without their ends; one that is longer than the pipe comes in pieces."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) >= _PIPE_SIZE:
            lines, rest = [*lines, rest], b""
        for line in lines:
            yield line.decode(errors="backslashreplace")
    if rest:
        yield rest.decode(errors="backslashreplace")


def _guard_and_exit(
    words: Sequence[bytes], variables: Mapping[bytes, bytes], descriptors: tuple[int, int, int], parent: int
) -> NoReturn:
    code = NOT_STARTED
    try:
        _keep_only(*descriptors)
        if _prctl is not None:
            _prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGTERM), *[ctypes.c_ulong(0)] * 3)
        if os.getppid() == parent:
            code = _guard(words, variables)
    finally:
        os._exit(code)


def _keep_only(standard_input: int, output: int, ended: int) -> None:
    """Close everything else that was inherited, locks and sockets among it; programs do not inherit `ended`."""
    os.dup2(standard_input, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if ended != 3:
        os.dup2(ended, 3, inheritable=False)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))


def _guard(words: Sequence[bytes], variables: Mapping[bytes, bytes]) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        command = os.posix_spawnp(words[0], list(words), variables, setpgroup=0, setsigmask=(), setsigdef=_RESET)
    except OSError as error:
        os.write(2, words[0] + f": {error.strerror}\n".encode())
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_STARTED
    while signal.sigwait((signal.SIGCHLD, signal.SIGTERM)) == signal.SIGCHLD:
        pid, status = os.waitpid(command, os.WNOHANG)
        if pid:
            return _exit_code(status)
    _stop(command)
    return BY_SIGNAL + signal.SIGTERM


def _stop(command: int) -> None:
    """End the process group, whose leader has not been waited for."""
    deadline = time.monotonic() + GRACE
    with suppress(ProcessLookupError):  # the group is empty
        os.killpg(command, signal.SIGTERM)
        while time.monotonic() < deadline:
            time.sleep(0.01)
            with suppress(ChildProcessError):
                os.waitpid(command, os.WNOHANG)
            os.killpg(command, 0)
        os.killpg(command, signal.SIGKILL)
