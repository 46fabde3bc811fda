"""On a memory file system each fault is caused, an instance sent, the fault removed and the instance sent again: on the
same association and on another one, with small instances and with instances that are received into a file.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support.data.datasets import identification, pixel_data
from support.programs.receivers import Receiver, Start, system_program
from support.promises.other_receivers import Peer
from support.promises.promises import promise
from support.promises.volumes import all_but, empty, fill, mounted, remount, use_up_inodes
from support.protocol.pdus import status_of, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, VERIFICATION

pytestmark = promise(9)

Figure = Callable[[str], None]

CONTEXTS = [(CT, [EXPLICIT_LE]), (VERIFICATION, [IMPLICIT_LE])]
ERROR_COMMENT = 0x0902
OUT_OF_RESOURCES = 0xA700
INVALID_INSTANCE = 0x0117
PAGE = 4096
SMALL, LARGE = 2 * PAGE, 3 << 19
"""A small one does not fit into one page: a disk with one page left takes its beginning, and then nothing more."""

PERMISSIONS_COUNT = ("--bounding-set", "-dac_override,-dac_read_search")
"""For setpriv: modes of files and directories apply to root, too."""


class Fault(NamedTuple):
    """A cause that prevents storing, how it ends, and options of the receiver."""

    make: Callable[[Path], object]
    end: Callable[[Path], object]
    options: tuple[str, ...] = ()


def hide(directory: Path) -> None:
    """Put a file in the place of the output directory."""
    directory.rename(directory.with_name("elsewhere"))
    directory.touch()


def show(directory: Path) -> None:
    directory.unlink()
    directory.with_name("elsewhere").rename(directory)


A_DIRECTORY_EACH = ("--layout", "{SOPInstanceUID}/file")

FAULTS = {
    "full": Fault(fill, empty),
    "nearly full": Fault(lambda output: all_but(output, PAGE), empty),
    "nearly full, bit preserving": Fault(lambda output: all_but(output, PAGE), empty, ("+B",)),
    "full, bit preserving": Fault(fill, empty, ("+B",)),
    "no inodes": Fault(use_up_inodes, empty),
    "no inodes for a directory": Fault(use_up_inodes, empty, A_DIRECTORY_EACH),
    "read-only": Fault(lambda output: remount(output, "ro"), lambda output: remount(output, "rw")),
    "no permission": Fault(lambda output: output.chmod(0o555), lambda output: output.chmod(0o755)),
}


@pytest.fixture
def disk(directory: Path) -> Iterator[Path]:
    place = directory / "disk"
    place.mkdir()
    with mounted(place, "8m"):
        yield place


def start(ours: Start, output: Path, *options: str) -> Receiver:
    """A receiver that stores in `output`, with the rights of an ordinary owner of it."""
    prefix = (system_program("setpriv"), *PERMISSIONS_COUNT)
    receiver = ours("-pm", "-od", output, *options, prefix=prefix)
    receiver.output = output
    return receiver


def data_set(uid: str, size: int) -> bytes:
    return identification(CT, uid) + pixel_data(size)


def contents(output: Path) -> dict[Path, bytes]:
    """All files, hidden ones too, except those that fill the disk and the locks of the state directory."""
    files = (path for path in output.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files if "filler" not in path.name and path.suffix != ".lock"}


def refused(association: RawAssociation, uid: str, data: bytes) -> int | None:
    """Send an instance that cannot be stored; returns the status. The association stays usable."""
    association.request(store_rq(CT, uid), data)
    response = association.response()
    assert 0 < len(response[ERROR_COMMENT].rstrip()) <= 64
    assert association.echo(context_id=3) == 0
    return status_of(response)


def goes_by(receiver: Receiver, fault: Fault, size: int) -> None:
    """The fault comes and goes while the receiver runs."""
    output, workers = receiver.output, receiver.workers()
    data = {uid: data_set(uid, size) for uid in ("1.2.1", "1.2.2", "1.2.3")}
    with RawAssociation(receiver.port, CONTEXTS) as association:
        assert association.store(CT, "1.2.1", data["1.2.1"]) == 0
        before = contents(output)
        fault.make(output)
        try:
            assert refused(association, "1.2.2", data["1.2.2"]) == OUT_OF_RESOURCES
        finally:
            fault.end(output)
        assert contents(output) == before
        assert association.store(CT, "1.2.2", data["1.2.2"]) == 0
        association.release()
    with RawAssociation(receiver.port, CONTEXTS) as association:
        assert association.store(CT, "1.2.3", data["1.2.3"]) == 0
        association.release()
    stored = contents(output).values()
    assert len(stored) == len(data)
    assert all(any(content.endswith(sent) for content in stored) for sent in data.values())
    assert workers <= receiver.workers()


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_fault_and_recovery(ours: Start, disk: Path, fault: Fault, size: int, figure: Figure) -> None:
    goes_by(start(ours, disk, *fault.options), fault, size)
    figure("A700 for every instance, 0 files left over, 0 restarts")


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
def test_directory_is_gone(ours: Start, directory: Path, size: int) -> None:
    output = directory / "disk"
    output.mkdir()
    goes_by(start(ours, output), Fault(hide, show), size)


def test_directory_that_was_removed_is_made_again(ours: Start) -> None:
    receiver = ours("-pm")
    shutil.rmtree(receiver.output)
    with RawAssociation(receiver.port, CONTEXTS) as association:
        assert association.store(CT, "1.2.3", data_set("1.2.3", SMALL)) == 0
        association.release()
    assert receiver.files() == ["CT.1.2.3"]


def test_name_too_long(ours: Start) -> None:
    """An invalid UID is refused; a UID that makes the name too long gets a shorter name."""
    receiver = ours("-pm", "-fe", "." + "x" * 240)
    longest = "1.2." + "3" * 60
    with RawAssociation(receiver.port, CONTEXTS) as association:
        assert refused(association, "1." + "2" * 298, data_set("1.2.3", SMALL)) == INVALID_INSTANCE
        assert receiver.files() == []
        assert association.store(CT, longest, data_set(longest, SMALL)) == 0
        association.release()
    assert len(receiver.only_file().name.encode()) <= 255


def test_peers_on_a_full_disk(peer: Peer) -> None:
    receiver, data = peer.receiver, data_set("1.2.3", LARGE)
    with mounted(receiver.output, "64k"), RawAssociation(receiver.port, CONTEXTS) as association:
        status = association.store(CT, "1.2.3", data)
        left = contents(receiver.output)
        said = "ends the association" if status is None else f"answers {status:04X}"
        peer.does(f"full disk: {said}, leaves {len(left)} cut files")
