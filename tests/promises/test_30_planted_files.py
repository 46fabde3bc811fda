"""Links, FIFOs, sockets and directories are planted under the names of files, of directories and of the receiver's own
state, by another user; one plants them while instances are being stored, and in the moment between making a directory
and opening it. Their targets must not change.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support.data.datasets import instance_of
from support.programs.receivers import Receiver, Start
from support.promises.other_receivers import Peer
from support.promises.promises import promise
from support.promises.threads import beside
from support.promises.ways_to_disk import FILES
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

pytestmark = promise(30)

Plant = Callable[[Path, Path], None]
"""Puts something at the first path that leads, or should lead, into the directory of the second."""

NAME = "CT.1.2.3"
DATA = instance_of(CT, "1.2.3")
CONTEXTS = [(CT, [EXPLICIT_LE])]
STRANGER = 12345  # an owner of planted links: neither root nor we
SECRET = b"not ours"


def foreign_link(target: Callable[[Path], Path]) -> Plant:
    def plant(at: Path, outside: Path) -> None:
        at.symlink_to(target(outside))
        os.chown(at, STRANGER, STRANGER, follow_symlinks=False)

    return plant


def bound_socket(at: Path, outside: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(at))


PLANTS: dict[str, Plant] = {
    "link to a file": foreign_link(lambda outside: outside / "secret"),
    "link to nothing": foreign_link(lambda outside: outside / "new"),
    "link to a directory": foreign_link(lambda outside: outside),
    "link to itself": foreign_link(lambda outside: Path(NAME)),
    "hard link": lambda at, outside: at.hardlink_to(outside / "secret"),
    "FIFO": lambda at, outside: os.mkfifo(at),
    "socket": bound_socket,
    "directory": lambda at, outside: at.mkdir(),
}
PLANTER = {
    "planter.py": """\
import os
from dcmrecv_core import hookimpl

mkdir = os.mkdir

def and_plant(name, mode=0o777, *, dir_fd=None):
    mkdir(name, mode, dir_fd=dir_fd)
    if name == os.environ["PLANTED"]:
        os.rmdir(name, dir_fd=dir_fd)
        os.symlink(os.environ["OUTSIDE"], name, dir_fd=dir_fd)
        os.chown(name, 12345, 12345, dir_fd=dir_fd, follow_symlinks=False)

@hookimpl
def worker_started(settings):
    os.mkdir = and_plant
"""
}
"""A plugin that lets a stranger be quick: as soon as the receiver has made a directory, a link is in its place."""

FOREIGN = {name: plant for name, plant in PLANTS.items() if name not in ("hard link", "directory")}
OPTIONS = {
    "": 0,
    "+B": 0,
    "--on-duplicate replace-same": 0,
    "--on-duplicate overwrite": 0,
    "--on-duplicate rename": 0,
    "--on-duplicate keep": 0xA700,
    "--on-duplicate refuse": 0x0111,
}


@pytest.fixture
def outside(directory: Path) -> Path:
    """Files beside the output directory that must not change."""
    place = directory / "outside"
    place.mkdir()
    (place / "secret").write_bytes(SECRET)
    return place


def unharmed(outside: Path) -> bool:
    return [path.name for path in outside.iterdir()] == ["secret"] and (outside / "secret").read_bytes() == SECRET


def store(receiver: Receiver, instance: str = "1.2.3") -> int | None:
    """The status for one instance, for which nothing may hang; the association goes on."""
    with RawAssociation(receiver.port, CONTEXTS, timeout=30) as association:
        status = association.store(CT, instance, instance_of(CT, instance))
        assert association.store(CT, "1.2.99", instance_of(CT, "1.2.99")) is not None
        association.release()
    return status


@pytest.mark.parametrize("options", OPTIONS)
def test_under_the_name_of_a_file(ours: Start, outside: Path, options: str, figure: Callable[[str], None]) -> None:
    receiver = ours("-pm", *options.split())
    for plant in PLANTS.values():
        at = receiver.output / NAME
        plant(at, outside)
        status = store(receiver)
        overwrites = options in ("", "+B", "--on-duplicate overwrite")
        assert status == (0xA700 if overwrites and at.is_dir() and not at.is_symlink() else OPTIONS[options])
        assert unharmed(outside)
        for path in receiver.output.glob(f"{NAME}*"):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    figure(f"{len(PLANTS)} things planted in {len(OPTIONS)} modes, {len(FOREIGN)} in 4 directories: nothing touched")


@pytest.mark.parametrize("place", ["data", "data/2020/01"])
@pytest.mark.parametrize("plant", FOREIGN.values(), ids=list(FOREIGN))
def test_under_the_name_of_a_directory(ours: Start, outside: Path, plant: Plant, place: str) -> None:
    receiver = ours("-pm", "+ssd")
    at = receiver.output / place
    at.parent.mkdir(parents=True, exist_ok=True)
    plant(at, outside)
    assert store(receiver) in (0x0110, 0xA700)
    assert unharmed(outside)


@pytest.mark.parametrize("place", [".dcmrecv", ".dcmrecv/tmp"])
@pytest.mark.parametrize("plant", FOREIGN.values(), ids=list(FOREIGN))
def test_under_the_names_of_the_state_directory(ours: Start, outside: Path, plant: Plant, place: str) -> None:
    receiver = ours("-pm")
    assert store(receiver) == 0
    at = receiver.output / place
    at.parent.mkdir(exist_ok=True)
    shutil.rmtree(at, ignore_errors=True)
    plant(at, outside)
    assert store(receiver, "1.2.4") in (0, 0x0110, 0xA700)
    assert store(receiver, "1.2.4") in (0, 0x0110, 0xA700)
    assert unharmed(outside)


@pytest.mark.parametrize("place", ["hidden", ".dcmrecv", ".dcmrecv/tmp"])
@pytest.mark.parametrize("plant", FOREIGN.values(), ids=list(FOREIGN))
def test_before_the_start(ours: Start, directory: Path, outside: Path, plant: Plant, place: str) -> None:
    """Old left-overs are swept, but not their targets; a link to sweep elsewhere is refused."""
    tmp = directory / "ours0" / "out" / ".dcmrecv" / "tmp"
    at = tmp / f".dcmrecv-{os.uname().nodename}-00000000-1-0.tmp" if place == "hidden" else tmp.parent.parent / place
    at.parent.mkdir(parents=True, exist_ok=True)
    plant(at, outside)
    os.utime(at, times=(0, 0), follow_symlinks=False)  # what belongs to no one known is swept when it is old
    if at == tmp and at.is_dir():
        with pytest.raises(AssertionError, match=r"ended with 45:\nF: .* A foreign link is in the way: tmp"):
            ours("-pm")
        assert unharmed(outside)
        return
    receiver = ours("-pm")
    assert store(receiver) == 0
    assert store(receiver) in (0, 0x0110, 0xA700)
    assert unharmed(outside)
    assert os.path.lexists(at) == (place != "hidden")


def test_the_same_instance_under_a_foreign_link(ours: Start, outside: Path) -> None:
    """The link leads to a file of the same instance: that does not count as stored."""
    receiver = ours("-pm", "+ssd", "--on-duplicate", "keep")
    assert store(receiver) == 0
    os.rename(receiver.output / "data", outside / "data")
    foreign_link(lambda outside: outside / "data")(receiver.output / "data", outside)
    assert store(receiver) == 0x0110


@pytest.mark.parametrize(
    ("made", "options"),
    [
        ("data", ("+ssd",)),
        ("b", ("--layout", "a/b/{SOPInstanceUID}")),
        ("a", ("--layout", "a/b/{SOPInstanceUID}")),
        ("tmp", ("--plugin", "without_unnamed")),
    ],
    ids=["first directory", "last directory", "directory above", "state directory"],
)
def test_planted_between_making_and_opening(
    ours: Start, outside: Path, monkeypatch: pytest.MonkeyPatch, made: str, options: tuple[str, ...]
) -> None:
    """No other user can be so quick each time, but one who tries all the time is, in one of a thousand."""
    monkeypatch.setenv("PLANTED", made)
    monkeypatch.setenv("OUTSIDE", str(outside))
    receiver = ours("-pm", "--plugin", "planter", *options, files=PLANTER | FILES)
    shutil.rmtree(receiver.output / ".dcmrecv" / "tmp", ignore_errors=True)  # the start has made it
    with RawAssociation(receiver.port, CONTEXTS, timeout=30) as association:
        assert association.store(CT, "1.2.3", DATA) in (0x0110, 0xA700)
        [planted] = [path for path in receiver.output.rglob(made) if path.is_symlink()]
        association.release()
    assert planted.lstat().st_uid == STRANGER
    assert unharmed(outside)
    planted.unlink()
    assert receiver.files() == []


def test_planted_while_storing(ours: Start, outside: Path, count: Callable[[int, int], int]) -> None:
    receiver = ours("-q", "-pm", "--no-fsync", "+ssd")
    (receiver.output / "data").mkdir()
    foreign_link(lambda outside: outside)(receiver.output / "link", outside)
    statuses = []
    with swapping(receiver.output), RawAssociation(receiver.port, CONTEXTS) as association:
        for number in range(count(300, 10_000)):
            instance = f"1.2.{number}"
            statuses.append(association.store(CT, instance, instance_of(CT, instance)))
        association.release()
    assert set(statuses) <= {0, 0x0110, 0xA700}
    assert unharmed(outside)
    stored = {path.name for path in receiver.output.rglob("CT.*")}
    assert len(stored) == statuses.count(0)


@contextmanager
def swapping(output: Path) -> Iterator[None]:
    """Meanwhile `data` is the directory, nothing, or the link, in turns."""

    def swap(over: threading.Event) -> None:
        turns = [("data", "directory"), ("link", "data"), ("data", "link"), ("directory", "data")]
        while not over.is_set():
            for source, target in turns:
                with suppress(OSError):  # the receiver made a directory of that name in between
                    os.rename(output / source, output / target)
                over.wait(0.0005)

    with beside(swap):
        yield


def test_peers(peer: Peer, outside: Path) -> None:
    """A file's name is a link; FIFOs are left out, those would hang."""
    with RawAssociation(peer.receiver.port, CONTEXTS) as association:
        assert association.store(CT, "1.2.3", DATA) == 0
        [stored] = peer.receiver.output.iterdir()
        stored.unlink()
        stored.symlink_to(outside / "secret")
        status = association.store(CT, "1.2.3", DATA)
        association.release()
    through = "does not write" if unharmed(outside) else "writes"
    peer.does(f"{through} through a link under a file's name, status {status:04X}")
