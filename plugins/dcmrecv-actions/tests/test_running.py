"""Runs of programs: output, exit code, and that nothing of them outlives the process that started them."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dcmrecv_actions import running
from dcmrecv_actions.running import run
from dcmrecv_core.testing import until


def ran(*arguments: str, input: bytes = b"", **environment: str) -> tuple[int, list[str]]:
    lines: list[str] = []
    with tempfile.TemporaryFile() as file:
        file.write(input)
        file.seek(0)
        code = run(arguments, {**os.environ, **environment}, file, lines.append)
    return code, lines


def test_output_input_environment_and_exit_code() -> None:
    script = 'echo "$GREETING"; cat; echo to stderr >&2; printf "no end"; exit 7'
    assert ran("sh", "-c", script, input=b"a\nb\n", GREETING="hello") == (
        7,
        ["hello", "a", "b", "to stderr", "no end"],
    )


def test_bytes_that_are_no_utf8() -> None:
    assert ran("printf", "\\377x\\n") == (0, ["\\xffx"])


def test_a_flood_of_output_is_read_to_its_end() -> None:
    code, lines = ran("sh", "-c", "yes 0123456789 | head -c 3000000; head -c 200000 /dev/zero | tr '\\0' x")
    assert code == 0
    assert len(lines) > 272000
    assert max(map(len, lines)) < 2 * 65536 + 1
    assert sum(map(len, lines)) > 2900000


def test_a_signal() -> None:
    assert ran("sh", "-c", "kill -9 $$") == (137, [])


def test_a_program_that_is_not_there() -> None:
    assert ran("/nowhere/tool") == (127, ["/nowhere/tool: No such file or directory"])


def test_a_program_that_cannot_be_executed(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    assert ran(f"{tmp_path}/tool") == (126, [f"{tmp_path}/tool: Permission denied"])


@pytest.mark.parametrize("arguments", [("echo", "a\0b"), ("echo", "\ud800")])
def test_what_no_program_can_be_given(arguments: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"holds a NUL|surrogates not allowed"):
        ran(*arguments)


def test_signals_and_descriptors_are_the_usual_ones(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    try:
        code, lines = ran("sh", "-c", "ls /proc/self/fd; grep -E 'Sig(Blk|Ign)' /proc/self/status")
    finally:
        os.close(descriptor)
        signal.signal(signal.SIGTERM, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
    assert code == 0
    assert lines[:-1] == ["0", "1", "2", "3", "SigBlk:\t0000000000000000"]  # 3: of ls itself
    glibc = 0b11 << 31  # signals 32 and 33, which posix_spawn ignores
    assert int(lines[-1].removeprefix("SigIgn:"), 16) & ~glibc == 0


def test_no_descriptors_are_left() -> None:
    before = len(os.listdir("/proc/self/fd"))
    ran("true")
    ran("/nowhere/tool")
    assert len(os.listdir("/proc/self/fd")) == before


def test_no_process_is_left() -> None:
    ran("true")
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def processes(word: str) -> set[int]:
    """The processes that have `word` as an argument."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if word.encode() in path.read_bytes().split(b"\0"):
                found.add(int(path.parent.name))
    return found


@pytest.fixture
def word(tmp_path: Path) -> Iterator[str]:
    """An argument that no other process has; whatever has it is killed at the end."""
    yield str(tmp_path)
    for pid in processes(str(tmp_path)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


SLEEPER = "python3 -c 'import time; time.sleep(600)' \"$1\""
SLEEPERS = f"trap 'exit 0' TERM; {SLEEPER} & {SLEEPER}"
STUBBORN = "trap '' TERM; while :; do sleep 0.1; done"
SCRIPTS = pytest.mark.parametrize("script", [SLEEPERS, STUBBORN])


def test_what_the_command_leaves_running_goes_on(word: str) -> None:
    assert ran("sh", "-c", f"{SLEEPER} & echo started", "sh", word) == (0, ["started"])
    until(lambda: processes(word), "it runs")  # while it executes Python it has no arguments


class _Stop(BaseException):
    pass


@SCRIPTS
def test_an_interrupted_run_ends_the_whole_group(script: str, word: str) -> None:
    def say(line: str) -> None:
        until(lambda: processes(word), "the command runs")
        raise _Stop

    with tempfile.TemporaryFile() as nothing, pytest.raises(_Stop):
        run(["sh", "-c", f"echo go; {script}", "sh", word], os.environ, nothing, say)
    until(lambda: not processes(word), "the command has ended")


def test_a_command_that_ends_by_itself_is_waited_for(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "GRACE", 30.0)
    script = "trap 'sleep 0.2; echo cleaned > \"$1/done\"; exit 0' TERM; echo go; while :; do sleep 0.05; done"

    def say(line: str) -> None:
        raise _Stop

    with tempfile.TemporaryFile() as nothing, pytest.raises(_Stop):
        run(["sh", "-c", script, "sh", word], os.environ, nothing, say)
    assert (tmp_path / "done").read_text() == "cleaned\n"
    assert not processes(word)


def forked(main: Callable[[], object]) -> int:
    pid = os.fork()
    if not pid:
        try:
            main()
        finally:
            os._exit(0)
    return pid


@SCRIPTS
def test_a_killed_process_takes_its_command_along(script: str, word: str) -> None:
    starter = forked(lambda: ran("sh", "-c", script, "sh", word))
    until(lambda: processes(word), "the command runs")
    os.kill(starter, signal.SIGKILL)
    os.waitpid(starter, 0)
    until(lambda: not processes(word), "the command has ended")


def test_the_grace_is_shorter_than_what_the_receiver_leaves() -> None:
    """It kills a delivery process 8 s after SIGTERM, which raises after 7 s."""
    assert running.GRACE < 1
    assert sys.platform != "linux" or running._prctl is not None
