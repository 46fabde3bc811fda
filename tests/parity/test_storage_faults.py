"""Files that cannot be written, or not completely: the answer to the sender, and the files afterwards."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from support.data.datasets import identification, pixel_data
from support.parity.answers import Aborted, Released
from support.parity.messages import (
    BIT_PRESERVING,
    DATA,
    ERROR_COMMENT,
    INSTANCE,
    NAME,
    Brief,
    command,
    outcome_of,
)
from support.parity.rules import Row, by_rule, compare
from support.programs.receivers import Receiver, start_on_port, start_ours, system_program
from support.protocol.pdus import data_pdus
from support.uids import CT

LARGE = identification(CT, INSTANCE) + pixel_data(200 << 10)
OLD = b"an older file"
PERMISSIONS_COUNT = ("--bounding-set", "-dac_override,-dac_read_search")
"""For setpriv: modes of files and directories apply to root, too."""


def name_is_a_directory(output: Path) -> None:
    (output / NAME).mkdir()


def older_file_is_read_only(output: Path) -> None:
    (output / NAME).write_bytes(OLD)
    (output / NAME).chmod(0o444)


def directory_is_read_only(output: Path) -> None:
    output.chmod(0o555)


def directory_is_gone(output: Path) -> None:
    shutil.rmtree(output)


def subdirectory_is_a_file(output: Path) -> None:
    (output / "data").write_bytes(OLD)


def disk_is_full(output: Path) -> None:
    """No block is free; the first write fails."""
    with (output / "filler").open("wb", buffering=0) as filler:
        try:
            while filler.write(bytes(4096)):
                pass
        except OSError:
            return


def disk_is_full_beside_an_older_file(output: Path) -> None:
    (output / NAME).write_bytes(OLD)
    disk_is_full(output)


def nothing(output: Path) -> None:
    """The disk is too small all the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault(Row):
    """`prepare` is done to the output directory before `data` is sent, which lies on a disk of 64 KiB if it is `small`.

    The outcome's files are "NAME", "old NAME" if the older one is still there, "cut NAME" if it is not complete.
    """

    kind: ClassVar[str] = "storage fault"
    prepare: Callable[[Path], None]
    arguments: tuple[str, ...] = ()
    data: bytes = DATA
    small: bool = False


OUT_OF_RESOURCES = Brief((0xA700,), Released(), (), (ERROR_COMMENT,))
COMMENTED = "Ours adds an Error Comment to the status."
GOES_ON = "Ours lets the association go on, and adds an Error Comment to the status."
KEPT = "Ours never loses an older file: it is replaced when the new one is complete."
NEVER_CUT = "Ours answers A700, because only completely stored instances are acknowledged."


def answered(*files: str, end: object = None) -> Brief:
    """The answer of DCMTK dcmrecv: A700 without a comment."""
    return Brief((0xA700,), end or Released(), files)  # type: ignore[arg-type]


STORED = Brief((0x0000,), Released(), (NAME,))
BROKEN_OFF = Aborted(0, 0)

ROWS = (
    Fault(
        rule="name is a directory",
        prepare=name_is_a_directory,
        differs=COMMENTED,
        ours=OUT_OF_RESOURCES,
        theirs=answered(),
    ),
    Fault(
        rule="name is a directory, bit preserving",
        prepare=name_is_a_directory,
        arguments=BIT_PRESERVING,
        differs=GOES_ON,
        ours=OUT_OF_RESOURCES,
        theirs=answered(end=BROKEN_OFF),
    ),
    Fault(
        rule="older file is read-only",
        prepare=older_file_is_read_only,
        differs=KEPT,
        ours=STORED,
        theirs=answered(),
    ),
    Fault(
        rule="older file is read-only, bit preserving",
        prepare=older_file_is_read_only,
        arguments=BIT_PRESERVING,
        differs=KEPT,
        ours=STORED,
        theirs=answered(f"old {NAME}", end=BROKEN_OFF),
    ),
    Fault(
        rule="output directory is read-only",
        prepare=directory_is_read_only,
        differs=COMMENTED,
        ours=OUT_OF_RESOURCES,
        theirs=answered(),
    ),
    Fault(
        rule="output directory is read-only, bit preserving",
        prepare=directory_is_read_only,
        arguments=BIT_PRESERVING,
        differs=GOES_ON,
        ours=OUT_OF_RESOURCES,
        theirs=answered(end=BROKEN_OFF),
    ),
    Fault(rule="output directory is gone", prepare=directory_is_gone),
    Fault(rule="output directory is gone, bit preserving", prepare=directory_is_gone, arguments=BIT_PRESERVING),
    Fault(
        rule="directory of a series cannot be made",
        prepare=subdirectory_is_a_file,
        arguments=("+ssd",),
        differs=COMMENTED,
        ours=OUT_OF_RESOURCES,
        theirs=answered(),
    ),
    Fault(
        rule="disk full in the middle",
        prepare=nothing,
        data=LARGE,
        small=True,
        differs=COMMENTED,
        ours=OUT_OF_RESOURCES,
        theirs=answered(),
    ),
    Fault(
        rule="disk full in the middle, bit preserving",
        prepare=nothing,
        arguments=BIT_PRESERVING,
        data=LARGE,
        small=True,
        differs=GOES_ON,
        ours=OUT_OF_RESOURCES,
        theirs=answered(end=BROKEN_OFF),
    ),
    Fault(
        rule="disk full in the last block",
        prepare=disk_is_full,
        small=True,
        differs=NEVER_CUT,
        ours=OUT_OF_RESOURCES,
        theirs=Brief((0x0000,), Released(), (f"cut {NAME}",)),
    ),
    Fault(
        rule="disk full in the last block, bit preserving",
        prepare=disk_is_full,
        arguments=BIT_PRESERVING,
        small=True,
        differs=NEVER_CUT,
        ours=OUT_OF_RESOURCES,
        theirs=Brief((0x0000,), Released(), (f"cut {NAME}",)),
    ),
    Fault(
        rule="re-send on a full disk",
        prepare=disk_is_full_beside_an_older_file,
        data=LARGE,
        small=True,
        differs=KEPT,
        ours=Brief((0xA700,), Released(), (f"old {NAME}",), (ERROR_COMMENT,)),
        theirs=answered(),
    ),
    Fault(
        rule="re-send on a full disk, bit preserving",
        prepare=disk_is_full_beside_an_older_file,
        arguments=BIT_PRESERVING,
        data=LARGE,
        small=True,
        differs=KEPT,
        ours=Brief((0xA700,), Released(), (f"old {NAME}",), (ERROR_COMMENT,)),
        theirs=answered(end=BROKEN_OFF),
    ),
)


@by_rule(ROWS)
def test_storage_fault(row: Fault, program: Path, profiles: Path) -> None:
    arguments = ("-xf", profiles, "Default", *row.arguments)
    prefix = (system_program("setpriv"), *PERMISSIONS_COUNT)
    with home(row) as directory:
        ours = _outcome(start_ours(program, directory, *arguments, prefix=prefix), row)
    with home(row) as directory:
        original = (*prefix, system_program("dcmrecv"), "-dhl", "-od", "out", *arguments)
        theirs = _outcome(start_on_port(directory, *original), row)
    compare(row, ours, theirs)


@contextmanager
def home(row: Fault) -> Iterator[Path]:
    """A directory for a receiver; the output directory in it is a small disk if the row wants one."""
    with tempfile.TemporaryDirectory(prefix="fault-") as name:
        output = Path(name, "out")
        output.mkdir()
        if row.small:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", output], check=True)
        try:
            yield Path(name)
        finally:
            if row.small:
                subprocess.run(["umount", "--lazy", output], check=True)


def _outcome(receiver: Receiver, row: Fault) -> Brief:
    try:
        row.prepare(receiver.output)
        sent = command() + b"".join(data_pdus(1, [row.data], is_command=False))
        said = outcome_of(receiver, sent).brief
        names = (name for name in receiver.files() if name not in ("filler", "data"))
        return said._replace(files=tuple(_state(receiver.output / name, row.data) + name for name in names))
    finally:
        receiver.end()


def _state(path: Path, sent: bytes) -> str:
    content = path.read_bytes()
    return "" if content.endswith(sent) else "old " if content == OLD else "cut "
