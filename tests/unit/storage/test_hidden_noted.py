"""Where hidden files are that are not in the directory of hidden files: noted for the next start."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dcmrecv_core.storage import hidden
from dcmrecv_core.storage.directories import TEMPORARY_PARTS, Directories
from dcmrecv_core.storage.hidden import HiddenFiles, Tokens
from dcmrecv_core.storage.temporary import Capabilities, open_hidden
from support.publishing import Calls, Mount, names

TOKEN = "0123456789abcdef"

DIES = """
import os, signal, sys
from support.data.datasets import instance_of
from support.uids import CT, EXPLICIT_LE
from dcmrecv_core.storage import temporary
from dcmrecv_core.storage.content import FileContent
from dcmrecv_core.storage.directories import TEMPORARY_PARTS, Directories
from dcmrecv_core.storage.hidden import Tokens
from dcmrecv_core.storage.file_meta import file_prefix
from dcmrecv_core.storage.publish import Publisher
from dcmrecv_core.storage.temporary import Capabilities

def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)

def publish(date):
    content = FileContent(file_prefix(CT, "1.2.3", EXPLICIT_LE), (instance_of(CT, "1.2.3", series_date=date),))
    publisher.publish(tuple(filter(None, target.split("/"))), "x", "replace-same", content)

root, state, kind, target = sys.argv[1:]
capabilities = Capabilities(unnamed=kind == "unnamed")
publisher = Publisher(root, fsync=True, capabilities=capabilities, tokens=Tokens(Directories(state)))
publish(b"20200102")
exchange = temporary.rename_exchange
temporary.rename_exchange = lambda *args: die(exchange(*args))
if kind == "hidden":
    os.fsync = die
publish(b"20200103")
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    place = tmp_path / "out"
    (place / "P1").mkdir(parents=True)
    return place


def kill(output: Path, state: Path, kind: str, target: str) -> None:
    """Let a process be killed while it stores in that directory."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", DIES, output, state, kind, target]
    done = subprocess.run(command, env=environment, timeout=20, check=False, stderr=subprocess.PIPE)
    assert done.returncode == -9, done.stderr


def start(output: Path, state: Path) -> list[str]:
    """What is left after a start."""
    Capabilities.probe(Directories(str(output)), Tokens(Directories(str(state))))
    return names(output)


def files_of(output: Path, state: Path) -> HiddenFiles:
    return HiddenFiles(Tokens(Directories(str(state))), Directories(str(output)))


def listed(state: Path, notes: bytes) -> None:
    """A token whose process is dead, with these notes."""
    path = state / "tokens" / TOKEN
    path.parent.mkdir(parents=True)
    path.touch()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    path.write_bytes(f"{boot} {path.stat().st_dev} {path.stat().st_ino}\n".encode() + notes)


@pytest.mark.parametrize("target", ["P1", "P1/a\nb", ""], ids=repr)
def test_a_process_is_killed_in_a_directory_that_gives_something_else(output: Path, state: Path, target: str) -> None:
    output.joinpath(*TEMPORARY_PARTS).mkdir(parents=True)
    place = output / target
    place.mkdir(exist_ok=True)
    place.chmod(0o2775)
    kill(output, state, "hidden", target)
    assert len(list(place.glob(".dcmrecv-*"))) == 1
    assert start(output, state) == [str(Path(target, "x"))]


@pytest.mark.parametrize("kind", ["hidden", "unnamed"])
def test_a_process_is_killed_on_another_file_system(output: Path, state: Path, kind: str, mount: Mount) -> None:
    """With unnamed files, after an exchange: what it leaves is the old file."""
    place = mount(output / "other", "-t", "tmpfs", "tmpfs")
    kill(output, state, kind, "other")
    assert list(place.glob(".dcmrecv-*"))
    assert start(output, state) == ["other/x"]


def test_a_living_process_needs_its_files(output: Path, state: Path) -> None:
    files = files_of(output, state)
    directory = Directories(str(output)).get(("P1",))
    temporary = open_hidden(files.place(directory))
    assert len(start(output, state)) == 1
    assert Tokens(Directories(str(state))).noted() == set()
    temporary.close()
    files.close()


def test_the_directories_used_last_are_noted(output: Path, state: Path) -> None:
    """Only a few, because a start reads them all; one that is used again is written only if it is not there."""
    files, directories = files_of(output, state), Directories(str(output))
    used = [f"P{number}" for number in range(2 * hidden._MOST_NOTED)]
    for name in used:
        for directory in (name, "P0"):
            open_hidden(files.place(directories.get((directory,)))).close()
    assert files._lock is not None
    os.close(files._lock)
    assert Tokens(Directories(str(state))).noted() == {"P0", *used[-hidden._MOST_NOTED + 1 :]}


@pytest.mark.parametrize("notes", [b"P1\0gone\0", b"gone\0../elsewhere\0/\0P1\0", b"P1\0P", b"P1\0P1/file\0"], ids=repr)
def test_a_start_looks_only_at_directories_that_are_there(output: Path, state: Path, notes: bytes) -> None:
    left = output / "P1" / f".dcmrecv-{TOKEN}-0.tmp"
    elsewhere = output.parent / "elsewhere" / left.name
    elsewhere.parent.mkdir()
    for path in (left, elsewhere, output / "P1" / "file"):
        path.touch()
    listed(state, notes)
    assert start(output, state) == ["P1/file"]
    assert elsewhere.exists()
    assert not (output / "gone").exists()


def test_no_room_for_a_note(output: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(monkeypatch)
    calls.fail("pwrite", errno.ENOSPC)
    files = files_of(output, state)
    open_hidden(files.place(Directories(str(output)).get(("P1",)))).close()
    assert calls.made == ["pwrite"]
    files.close()
    assert names(state) == []


def test_nothing_was_noted(output: Path, state: Path) -> None:
    """Then a start makes no directory of tokens."""
    assert start(output, state) == []
    assert not state.exists()
