"""Directories with the setgid bit and another group, with default ACLs, with both and with neither get small and large
instances, new ones and re-sends, from a receiver of root and of a user who is not in that group, with unnamed files
and without, below an output directory that has neither or both itself. Each file has the group, the mode and the ACL
of a file that a process of the same user makes in the same directory.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support.acls import DEFAULT, acl, acl_of
from support.data.datasets import element, identification, pixel_data
from support.programs.receivers import Receiver, Start, system_program
from support.promises.promises import promise
from support.promises.volumes import mounted, remount
from support.promises.ways_to_disk import CONTEXTS, FILES, HIDDEN
from support.protocol.raw_sender import RawAssociation
from support.uids import CT

pytestmark = promise(39)

NOBODY, CLINIC, ARCHIVE, READER = 65534, 54321, 54322, 54323
SIZES = {"small": 2 << 10, "large": 3 << 19}
SHARED = acl(user=6, named={READER: 6}, group=5, mask=6, other=0)
PRIVATE = acl(user=6, named={READER: 4}, group=0, mask=4, other=0)


class Kind(NamedTuple):
    """What a directory gives to its files."""

    group: int | None = None
    setgid: bool = False
    default: bytes = b""


KINDS = {
    "plain": Kind(),
    "other group": Kind(CLINIC),
    "setgid": Kind(CLINIC, setgid=True),
    "setgid of another group": Kind(ARCHIVE, setgid=True),
    "default ACL": Kind(default=SHARED),
    "private ACL": Kind(default=PRIVATE),
    "setgid and ACL": Kind(CLINIC, setgid=True, default=SHARED),
}
ROOTS = {"plain": Kind(), "setgid and ACL": Kind(ARCHIVE, setgid=True, default=PRIVATE)}


def become(path: Path, kind: Kind, owner: int) -> None:
    os.chown(path, owner, -1 if kind.group is None else kind.group)
    path.chmod(0o2775 if kind.setgid else 0o755)
    if kind.default:
        os.setxattr(path, DEFAULT, kind.default)
    elif acl_of(path, DEFAULT):
        os.removexattr(path, DEFAULT)


def as_user(user: int) -> list[str]:
    """A command that runs a program as this user, whom root lets read tests and installed programs."""
    if not user:
        return []
    identity = (f"--reuid={user}", f"--regid={user}", "--groups", str(CLINIC))
    reading = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    return [system_program("setpriv"), *identity, *reading]


def given(path: Path) -> tuple[int, int, bytes]:
    """Group, mode, ACL."""
    status = path.stat()
    return status.st_gid, status.st_mode, acl_of(path)


def expected(place: Path, user: int) -> tuple[int, int, bytes]:
    """What a file has that this user makes in the directory."""
    made = place / "made"
    made.unlink(missing_ok=True)
    program = f"import os; os.umask(0o022); os.open({str(made)!r}, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)"
    subprocess.run([*as_user(user), sys.executable, "-c", program], check=True, timeout=20)
    found = given(made)
    made.unlink()
    return found


def data_set(uid: str, patient: str, size: int, version: int) -> bytes:
    head = identification(CT, uid) + element(0x00100020, "LO", patient.encode().ljust(32))
    return head + pixel_data(size + 256 * version)


@pytest.fixture
def disk(directory: Path) -> Iterator[Path]:
    """A memory file system: it has ACLs wherever the tests run. The umask lets another user tell that he is ready."""
    directory.chmod(0o755)
    place = directory / "disk"
    place.mkdir()
    before = os.umask(0)
    with mounted(place, "64m"):
        remount(place, "nr_inodes=1024")
        yield place
    os.umask(before)


def start(ours: Start, output: Path, user: int, *options: str) -> Receiver:
    layout = ("--layout", "{PatientID}/{sop_instance_uid}")
    return ours("-pm", "-od", output, *layout, *options, files=FILES, prefix=as_user(user))


def send_all(receiver: Receiver, version: int) -> int:
    """Each size to each directory; returns how many."""
    with RawAssociation(receiver.port, CONTEXTS) as association:
        for number, kind in enumerate(KINDS):
            for length, size in SIZES.items():
                uid = f"1.2.{number}.{size}"
                assert association.store(CT, uid, data_set(uid, kind, size, version)) == 0, (kind, length)
        association.release()
    return len(KINDS) * len(SIZES)


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("options", [(), HIDDEN], ids=["unnamed files", "hidden files"])
@pytest.mark.parametrize("user", [0, NOBODY], ids=["root", "nobody"])
def test_files_have_what_their_directory_gives(
    ours: Start, disk: Path, user: int, options: tuple[str, ...], root: str, figure: Callable[[str], None]
) -> None:
    output = disk / "out"
    output.mkdir()
    os.chown(output, user, -1)
    receiver = start(ours, output, user, *options)  # the directory of hidden files is made before the others change
    become(output, ROOTS[root], user)
    for name, kind in KINDS.items():
        (output / name).mkdir()
        become(output / name, kind, user)
    files = sum(send_all(receiver, version) for version in range(2))
    assert receiver.stop() == 0
    wrong = {}
    for name in KINDS:
        wanted = expected(output / name, user)
        found = {path.name: given(path) for path in (output / name).iterdir()}
        assert len(found) == len(SIZES)
        wrong.update({(name, file): (one, wanted) for file, one in found.items() if one != wanted})
    assert not wrong
    figure(f"0 of {files} with another group, mode or ACL")
