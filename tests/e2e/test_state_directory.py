"""Two receivers on one output directory: the state directory belongs to the first."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from dcmrecv_core.testing.receivers import ACTIVATE, until
from support.data.datasets import instance_of
from support.programs.receivers import Receiver, Start, create_listener, run
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

CONTEXTS = [(CT, [EXPLICIT_LE])]

WORKS = """\
import time
from dcmrecv_core import hookimpl

@hookimpl
def background(settings):
    while True:
        time.sleep(60)
"""

LOOKS = """\
from dcmrecv_core import hookimpl

@hookimpl
def configure(settings):
    print(settings.state_directory)
"""


OPENS = LOOKS.replace("configure", "worker_started")


@pytest.fixture
def shared(directory: Path) -> Path:
    """An output directory of the first two receivers."""
    output = directory / "shared"
    output.mkdir()
    for name in ("ours0", "ours1"):
        (directory / name).mkdir()
        (directory / name / "out").symlink_to(output)
    return output


def store(receiver: Receiver, uid: str) -> None:
    with RawAssociation(receiver.port, CONTEXTS) as association:
        for _ in range(2):  # the second time the file is replaced through a hidden name
            assert association.store(CT, uid, instance_of(CT, uid)) == 0
        association.release()


def below(output: Path) -> list[str]:
    return sorted(str(path.relative_to(output)) for path in output.rglob("*"))


def test_the_second_goes_on_without(ours: Start, shared: Path) -> None:
    first, second = ours("-pm"), ours("-pm")
    assert "state directory" not in first.log
    assert "W: state directory" in second.log
    assert f"process {first.process.pid}, a port that was passed to it" in second.log
    assert "--state-dir" in second.log
    store(first, "1.2.3")
    store(second, "1.2.4")
    assert first.stop() == second.stop() == 0
    assert below(shared) == [".dcmrecv", ".dcmrecv/tmp", "CT.1.2.3", "CT.1.2.4"]


def test_a_plain_run_leaves_nothing(ours: Start) -> None:
    receiver = ours("-pm")
    assert below(receiver.output) == [
        ".dcmrecv",
        ".dcmrecv/control.sock",
        ".dcmrecv/owner.lock",
        ".dcmrecv/processes.lock",
    ]
    assert receiver.stop() == 0
    until(lambda: below(receiver.output) == [], "a process that outlives it has removed all")


@pytest.mark.parametrize("plugin", [WORKS, LOOKS, OPENS], ids=["background", "configure", "worker_started"])
def test_a_plugin_that_needs_it_keeps_the_second_from_starting(
    ours: Start, shared: Path, program: Path, plugin: str
) -> None:
    first = ours("-pm")
    (shared / "plugin.py").write_text(plugin)
    arguments = (program, "-pm", "-od", shared, "--plugin", shared / "plugin.py")
    with create_listener() as listener:
        activated = (sys.executable, "-I", "-S", ACTIVATE, listener.fileno(), *arguments)
        done = run(*activated, pass_fds=(listener.fileno(),))
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("F:")]
    assert "plugin plugin" in line
    assert "Traceback" not in done.stderr
    assert "belongs to another receiver" in line
    assert f"process {first.process.pid}" in line
    assert "--state-dir" in line


def test_with_a_state_directory_of_its_own_it_starts(ours: Start, shared: Path) -> None:
    ours("-pm")
    second = ours("-pm", "--state-dir", "state", "--plugin", "works", files={"works.py": WORKS})
    assert "belongs to" not in second.log
    assert (second.directory / "state" / "owner.lock").exists()


def test_a_start_after_a_kill(ours: Start, shared: Path) -> None:
    """It waits until the workers of the killed supervisor have ended."""
    ours("-pm").kill()
    second = ours("-pm", "--plugin", "works", files={"works.py": WORKS})
    assert "belongs to another receiver" not in second.log
    store(second, "1.2.3")


def test_a_reload_cannot_move_it(ours: Start) -> None:
    receiver = ours("-pm", "--settings", "s.toml", files={"s.toml": ""})
    (receiver.directory / "s.toml").write_text('state_dir = "elsewhere"\n')
    receiver.process.send_signal(signal.SIGHUP)
    receiver.wait_for_log("W: state_dir cannot be changed at run time")
    assert not (receiver.directory / "elsewhere").exists()


def test_where_it_cannot_be_made(ours: Start) -> None:
    receiver = ours("-pm", "--state-dir", "/proc/none")
    assert "W: cannot lock state directory /proc/none: " in receiver.log
    store(receiver, "1.2.3")
