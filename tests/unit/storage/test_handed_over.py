"""What an exchange handed over to a process that was killed: no start throws away the only copy of an instance."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dcmrecv_core.api.errors import StorageError
from dcmrecv_core.storage import handed_over, temporary
from dcmrecv_core.storage.content import FileContent
from dcmrecv_core.storage.directories import TEMPORARY_PARTS, Directories
from dcmrecv_core.storage.file_meta import file_prefix
from dcmrecv_core.storage.handed_over import HandedOver
from dcmrecv_core.storage.hidden import HiddenFiles, Tokens
from support.data.datasets import instance_of
from support.publishing import Calls, Mount, names, publisher
from support.uids import CT, EXPLICIT_LE

OURS, OTHER = "1.2.3", "1.2.4"
DAY = 24 * 3600

KILLED = """
import os, signal, sys
from dcmrecv_core.storage import temporary
from dcmrecv_core.storage.directories import TEMPORARY_PARTS, Directories
from dcmrecv_core.storage.handed_over import HandedOver
from dcmrecv_core.storage.hidden import Tokens
from dcmrecv_core.storage.publish import Publisher
from dcmrecv_core.storage.taken import TakenName
from dcmrecv_core.storage.temporary import Capabilities
from unit.storage.test_handed_over import instance

root, state, kind, moved, when = sys.argv[1:]
exchange = temporary.rename_exchange

def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)

def exchanged(*args):
    if moved:
        os.rename(f"{root}/P1/x.dcm", f"{root}/moved")
        os.rename(f"{root}/{moved}", f"{root}/P1/x.dcm")
    if when == "before":
        die()
    exchange(*args)

temporary.rename_exchange = exchanged
if when == "after":
    TakenName._is_predecessor = die
else:
    HandedOver.remove = HandedOver.forget = die
capabilities = Capabilities(unnamed=kind == "unnamed")
publisher = Publisher(root, fsync=True, capabilities=capabilities, tokens=Tokens(Directories(state)))
publisher.publish(("P1",), "x.dcm", "replace-same", instance("1.2.3", "20200103"))
"""


def instance(uid: str, date: str = "20200102") -> FileContent:
    data = instance_of(CT, uid, series_date=date.encode())
    return FileContent(file_prefix(CT, uid, EXPLICIT_LE), (data,))


def whole(uid: str, date: str = "20200102") -> bytes:
    with instance(uid, date).open() as file:
        return file.read()


def mark(uid: str) -> str:
    return f"x~{hashlib.sha256(uid.encode()).hexdigest()[:8]}.dcm"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An instance under its name, and another one that somebody is about to move there."""
    root = tmp_path / "out"
    root.mkdir()
    place = publisher(root)
    for directory, name, uid in (("P1", "x.dcm", OURS), ("P2", "y", OTHER)):
        place.publish((directory,), name, "replace-same", instance(uid))
    return root


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def kill(output: Path, state: Path, *, kind: str = "unnamed", moved: str = "P2/y", when: str = "after") -> Path:
    """Let a process replace OURS and be killed at that; the hidden file that it leaves."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, output, state, kind, moved, when]
    done = subprocess.run(command, env=environment, timeout=20, check=False, stderr=subprocess.PIPE)
    assert done.returncode == -9, done.stderr
    [left] = output.joinpath(*TEMPORARY_PARTS).glob("*.old.tmp")
    return left


def sweep(output: Path, state: Path | None) -> dict[str, bytes]:
    """What a start makes of it: all files afterwards."""
    directories = Directories(str(output))
    tokens = None if state is None else Tokens(Directories(str(state)))
    HiddenFiles(tokens, directories).place(directories.get(TEMPORARY_PARTS))
    return {name: (output / name).read_bytes() for name in names(output) if not (output / name).is_symlink()}


@pytest.mark.parametrize("kind", ["unnamed", "hidden"])
@pytest.mark.parametrize("who", ["its own receiver", "another receiver"])
def test_another_instance_that_came_under_the_name(
    output: Path, state: Path, kind: str, who: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It was acknowledged, and is nowhere else. Another receiver sees that nothing has changed it for a day."""
    left = kill(output, state, kind=kind)
    assert left.read_bytes() == whole(OTHER)
    os.utime(left, times=(time.time() - 2 * DAY,) * 2)
    files = {"P1/x.dcm": whole(OURS, "20200103"), "moved": whole(OURS), f"P1/{mark(OTHER)}": whole(OTHER)}
    assert sweep(output, state if who == "its own receiver" else None) == files
    assert caplog.messages == [
        f"a receiver was killed when it had replaced {output}/P1/x.dcm, which is not there any longer: it is "
        f"{output}/P1/{mark(OTHER)}"
    ]
    assert sweep(output, state) == files


@pytest.mark.parametrize("when", ["before", "after", "at the end"])
@pytest.mark.parametrize("kind", ["unnamed", "hidden"])
def test_the_same_instance(output: Path, state: Path, kind: str, when: str, caplog: pytest.LogCaptureFixture) -> None:
    """The old one is replaced, or the new one not acknowledged."""
    kill(output, state, kind=kind, moved="", when=when)
    there = whole(OURS, "20200102" if when == "before" else "20200103")
    assert sweep(output, state) == {"P1/x.dcm": there, "P2/y": whole(OTHER)}
    assert caplog.messages == []


def test_what_replaced_it_was_moved_away(output: Path, state: Path) -> None:
    """Nothing tells why: in doubt both are kept."""
    kill(output, state, moved="")
    (output / "P1/x.dcm").rename(output / "moved")
    files = {"moved": whole(OURS, "20200103"), f"P1/{mark(OURS)}": whole(OURS), "P2/y": whole(OTHER)}
    assert sweep(output, state) == files


def test_what_replaced_it_is_torn(output: Path, state: Path) -> None:
    kill(output, state, moved="")
    (output / "P1/x.dcm").write_bytes(whole(OURS)[:400])
    assert sweep(output, state)[f"P1/{mark(OURS)}"] == whole(OURS)


def test_its_directory_was_moved_away(output: Path, state: Path) -> None:
    kill(output, state)
    (output / "P1").rename(output / "P3")
    assert sweep(output, state)[f"P1/{mark(OTHER)}"] == whole(OTHER)


def test_what_cannot_be_read(output: Path, state: Path) -> None:
    (output / "P2/y").write_bytes(b"another's")
    kill(output, state)
    [name] = [name for name, data in sweep(output, state).items() if data == b"another's"]
    assert name.startswith("P1/x~") and name.endswith(".dcm")


def test_without_a_note_it_stays_and_is_named_once(output: Path, state: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file system without symbolic links."""
    left = kill(output, state)
    left.with_name(left.name.replace(".old.", ".at.")).unlink()
    kept = left.with_name(left.name.replace(".old.tmp", ".kept"))
    for _ in range(2):
        assert sweep(output, state)[str(kept.relative_to(output))] == whole(OTHER)
    assert caplog.messages == [
        f"{kept}, left by a dead process, is perhaps the only copy of an instance; where it was is not known"
    ]


@pytest.mark.parametrize("text", ["../../x.dcm", "/x.dcm", "P1//x.dcm", "."])
def test_a_note_that_leads_elsewhere(output: Path, state: Path, text: str) -> None:
    left = kill(output, state)
    note = left.with_name(left.name.replace(".old.", ".at."))
    note.unlink()
    note.symlink_to(text)
    sweep(output, state)
    assert left.with_name(left.name.replace(".old.tmp", ".kept")).read_bytes() == whole(OTHER)


@pytest.mark.parametrize("function", ["fsync", "stat"])
def test_a_fault_leaves_it_for_the_next_start(
    output: Path, state: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, function: str
) -> None:
    left = kill(output, state, moved="")
    with monkeypatch.context() as patch:
        Calls(patch).fail(function, 5, lambda path, **more: function == "fsync" or path == "x.dcm")
        assert str(left.relative_to(output)) in sweep(output, state)
    assert f"{left}, left by a dead process, is perhaps the only copy of an instance: " in caplog.text
    assert sweep(output, state) == {"P1/x.dcm": whole(OURS, "20200103"), "P2/y": whole(OTHER)}


def test_no_free_name(output: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = kill(output, state)
    monkeypatch.setattr(handed_over, "marked", lambda *args: iter(["x.dcm"]))
    assert str(left.relative_to(output)) in sweep(output, state)


def test_two_receivers_come_to_it_at_once(output: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one has given it a name when this one is about to."""
    kill(output, state)
    rename = handed_over.rename_noreplace

    def twice(*args: object) -> None:
        rename(*args)  # type: ignore[arg-type]
        rename(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(handed_over, "rename_noreplace", twice)
    assert sweep(output, state)[f"P1/{mark(OTHER)}"] == whole(OTHER)


def test_a_living_process_is_let_alone(output: Path) -> None:
    """Whatever another receiver thinks of the age of what was handed over: it is not lost."""
    place = publisher(output)
    os.utime(output / "P2/y", times=(0, 0))
    exchange = temporary.rename_exchange

    def move_and_exchange(*args: object) -> None:
        os.rename(output / "P1/x.dcm", output / "moved")
        os.rename(output / "P2/y", output / "P1/x.dcm")
        exchange(*args)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:

        def sweep_first(self: HandedOver, *args: object) -> str | None:
            patch.undo()
            sweep(output, None)
            return self.give_name(*args)  # type: ignore[arg-type]

        patch.setattr(temporary, "rename_exchange", move_and_exchange)
        patch.setattr(HandedOver, "give_name", sweep_first)
        assert place.publish(("P1",), "x.dcm", "replace-same", instance(OURS, "20200103"))[1] == "replaced"
    found = {name: (output / name).read_bytes() for name in names(output)}
    assert found == {"P1/x.dcm": whole(OURS, "20200103"), "moved": whole(OURS), f"P1/{mark(OTHER)}": whole(OTHER)}


def test_a_note_alone_is_swept(output: Path, state: Path) -> None:
    left = kill(output, state)
    left.unlink()
    assert names(output.joinpath(*TEMPORARY_PARTS)) != []
    sweep(output, state)
    assert os.listdir(output.joinpath(*TEMPORARY_PARTS)) == []


def test_on_another_file_system(output: Path, tmp_path: Path, state: Path, mount: Mount) -> None:
    """There hidden files are beside their targets."""
    other = mount(tmp_path / "out/P4", "-t", "tmpfs", "tmpfs")
    place = publisher(output)
    place.publish(("P4",), "x.dcm", "replace-same", instance(OURS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HandedOver, "remove", lambda self: None)
        place.publish(("P4",), "x.dcm", "replace-same", instance(OURS, "20200103"))
    [left] = other.glob(".*.old.tmp")
    (other / "x.dcm").unlink()
    os.utime(left, times=(0, 0))
    directories = Directories(str(output))
    HiddenFiles(None, directories).place(directories.get(("P4",)))
    assert [path.name for path in other.iterdir()] == [mark(OURS)]


def test_a_disk_without_room_for_a_note(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Calls(monkeypatch).fail("symlink", 28)
    place = publisher(output)
    assert place.publish(("P1",), "x.dcm", "replace-same", instance(OURS, "20200103"))[1] == "replaced"
    assert os.listdir(output.joinpath(*TEMPORARY_PARTS)) == []


def test_nothing_is_left_of_a_failed_exchange(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("dcmrecv_core.storage.temporary.rename_exchange", fail)
    with pytest.raises(StorageError):
        publisher(output).publish(("P1",), "x.dcm", "replace-same", instance(OURS, "20200103"))
    assert os.listdir(output.joinpath(*TEMPORARY_PARTS)) == []
