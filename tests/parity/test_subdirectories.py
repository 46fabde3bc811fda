"""Directories, modes and files already under the name of a new one."""

from __future__ import annotations

import re
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from support.data.datasets import element, identification, instance_of
from support.data.samples import Sample
from support.data.stored_files import stored_file
from support.parity.rules import Row, by_rule, compare
from support.parity.storing import association_profile, store
from support.programs.receivers import Receiver, Start
from support.protocol.raw_sender import send
from support.uids import BIG_ENDIAN, CT, EXPLICIT_LE, IMPLICIT_LE

INSTANCE = "1.2.3"
SERIES_DATE = 0x00080021
NAME = element(0x00100010, "PN", b"Doe^Jane")
WITHOUT_DATE = identification(CT, INSTANCE, None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Directory(Row):
    """A Series Date, None if there is none, or a whole data set. An outcome is the stored file's directory."""

    kind: ClassVar[str] = "directory"
    date: bytes | None = None
    vr: str = "DA"
    data: bytes = b""
    transfer_syntax: str = EXPLICIT_LE
    options: tuple[str, ...] = ("+ssd",)

    @property
    def sent(self) -> bytes:
        return self.data or instance_of(CT, INSTANCE, series_date=self.date, vr=self.vr)


def in_item(date: bytes) -> bytes:
    item = element(SERIES_DATE, "DA", date)
    return WITHOUT_DATE + element(0x00400275, "SQ", b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item)


DATES = (
    Directory(rule="a Series Date", date=b"20200102"),
    Directory(rule="a Series Date with blanks after it", date=b"20200102  "),
    Directory(rule="a Series Date with dots", date=b"2020.01.02"),
    Directory(rule="the first of two Series Dates", date=b"20200102\\20210304"),
    Directory(rule="30 February", date=b"20200230"),
    Directory(rule="29 February of a common year", date=b"20210229"),
    Directory(rule="31 November", date=b"20201131"),
    Directory(rule="the year 1", date=b"00010101"),
    Directory(rule="the year 0 with dots", date=b"0000.01.01"),
    Directory(rule="the last day of all", date=b"99991231"),
    Directory(rule="no Series Date", date=None),
    Directory(rule="an empty Series Date", date=b""),
    Directory(rule="a Series Date with a blank in front", date=b" 20200102"),
    Directory(rule="an empty first Series Date", date=b"\\20200102"),
    Directory(rule="a range of Series Dates", date=b"20200101-20200102"),
    Directory(rule="a Series Date with hyphens", date=b"2020-01-02"),
    Directory(rule="a Series Date of four digits", date=b"2020"),
    Directory(rule="a Series Date of six digits", date=b"202001"),
    Directory(rule="a Series Date with a time", date=b"20200102103000"),
    Directory(rule="a Series Date of zeros", date=b"00000000"),
    Directory(rule="month 13", date=b"20201301"),
    Directory(rule="day 32", date=b"20200132"),
    Directory(rule="day 0", date=b"20200100"),
    Directory(rule="a Series Date with NULs after it", date=b"20200102\0\0"),
    Directory(rule="a Series Date of letters", date=b"yyyymmdd"),
    Directory(rule="a Series Date with a way out of the directory", date=b"2020/../.."),
    Directory(rule="a Series Date as LO", date=b"20200102", vr="LO"),
    Directory(rule="a Series Date as UN", date=b"20200102", vr="UN"),
    Directory(rule="a Series Date in an item", data=in_item(b"20200102")),
    Directory(rule="a Series Date out of order", data=WITHOUT_DATE + element(SERIES_DATE, "DA", b"20200102")),
    Directory(
        rule="a Series Date twice",
        data=identification(CT, INSTANCE).removesuffix(NAME) + element(SERIES_DATE, "DA", b"20210304") + NAME,
    ),
    Directory(
        rule="a Series Date in implicit VR",
        data=identification(CT, INSTANCE, explicit=False),
        transfer_syntax=IMPLICIT_LE,
    ),
    Directory(
        rule="a Series Date in big endian", data=identification(CT, INSTANCE, little=False), transfer_syntax=BIG_ENDIAN
    ),
)
OPTIONS = (
    Directory(rule="-s", date=b"20200102", options=("-s",)),
    Directory(rule="+ssd after -s", date=b"20200102", options=("-s", "+ssd")),
    Directory(rule="-s after +ssd", date=b"20200102", options=("+ssd", "-s")),
    Directory(rule="+ssd and -fe", date=b"20200102", options=("+ssd", "-fe", ".dcm")),
    Directory(rule="+ssd and --ignore", date=b"20200102", options=("+ssd", "--ignore")),
    *(
        Directory(rule=f"+ssd and {scheme}", date=b"20200102", options=("+ssd", scheme))
        for scheme in ("+fd", "+fu", "+fsu", "+fst")
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place(Row):
    """`prepare` changes the output directory before a file comes. An outcome is the status and the result of `look`
    afterwards."""

    kind: ClassVar[str] = "place of a file"
    prepare: Callable[[Path], object]
    look: Callable[[Path], object]
    options: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Mode(Row):
    """An outcome is the mode of each file and directory."""

    kind: ClassVar[str] = "mode"
    umask: int


FILE, DAY = f"CT.{INSTANCE}", "data/2020/01/02"
DATA = instance_of(CT, INSTANCE)


def older(path: Path) -> Path:
    """A file with something else in it and a mode of its own."""
    path.write_bytes(b"something else")
    path.chmod(0o640)
    return path


def tree(output: Path) -> list[str]:
    """All files and directories except our state directory."""
    found = [path.relative_to(output) for path in output.rglob("*")]
    return sorted(str(path) for path in found if path.parts[0] != ".dcmrecv")


def is_new(path: Path) -> bool:
    return stored_file(path).data == DATA


def mode(path: Path) -> str:
    return stat.filemode(path.lstat().st_mode)


REPLACED = "DCMTK dcmrecv writes into the file that is there; ours replaces it by a complete new file, so that no "
NEVER_TORN = REPLACED + "reader and no failure sees half of one."
PLACES = (
    Place(
        rule="an older file is overwritten",
        prepare=lambda output: older(output / FILE),
        look=lambda output: (tree(output), is_new(output / FILE)),
    ),
    Place(
        rule="the mode of an older file",
        prepare=lambda output: older(output / FILE),
        look=lambda output: mode(output / FILE),
        differs=NEVER_TORN + " The new one has the mode of a new file.",
        ours=(0, "-rw-r--r--"),
        theirs=(0, "-rw-r-----"),
    ),
    Place(
        rule="another link to an older file",
        prepare=lambda output: (output / "link").hardlink_to(older(output / FILE)),
        look=lambda output: (is_new(output / FILE), (output / "link").read_bytes() == b"something else"),
        differs=NEVER_TORN + " What else is linked to it stays.",
        ours=(0, (True, True)),
        theirs=(0, (True, False)),
    ),
    Place(
        rule="a symbolic link to a file",
        prepare=lambda output: (output / FILE).symlink_to(older(output / "other")),
        look=lambda output: (mode(output / FILE)[0], (output / "other").read_bytes() == b"something else"),
        differs="DCMTK dcmrecv writes where the link leads; ours replaces the link, which may have been planted.",
        ours=(0, ("-", True)),
        theirs=(0, ("l", False)),
    ),
    Place(
        rule="a directory of the file's name",
        prepare=lambda output: (output / FILE).mkdir(),
        look=tree,
    ),
    Place(
        rule="the output directory vanished",
        prepare=shutil.rmtree,
        look=tree,
    ),
    Place(
        rule="the output directory vanished before a subdirectory is made",
        prepare=shutil.rmtree,
        look=tree,
        options=("+ssd",),
    ),
    Place(
        rule="a subdirectory that is there",
        prepare=lambda output: (output / DAY).mkdir(0o700, parents=True),
        look=lambda output: (tree(output), mode(output / DAY)),
        options=("+ssd",),
    ),
    Place(
        rule="a subdirectory that is a file",
        prepare=lambda output: (output / "data").write_text("a file"),
        look=tree,
        options=("+ssd",),
    ),
    Place(
        rule="a subdirectory that is a link to another",
        prepare=lambda output: ((output / "other").mkdir(), (output / "data").symlink_to("other")),
        look=tree,
        options=("+ssd",),
    ),
)
MODES = tuple(Mode(rule=f"modes under a umask of {umask:03o}", umask=umask) for umask in (0o022, 0o027, 0o077, 0))
ROWS: tuple[Row, ...] = (*DATES, *OPTIONS, *PLACES, *MODES)


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return association_profile(tmp_path_factory.mktemp("directories"))


@by_rule((*DATES, *OPTIONS))
def test_directory(both: Start, profile: Path, row: Directory) -> None:
    sample = Sample("", CT, INSTANCE, row.transfer_syntax, row.sent)
    outcomes = []
    for receiver in both("-xf", profile, "default", *row.options):
        stored = store(receiver, sample)
        outcomes.append(
            (
                stored.status,
                [re.sub(r"undef/20\d{6}\Z", "undef/TODAY", str(Path(name).parent)) for name in stored.files],
            )
        )
    compare(row, *outcomes)


@by_rule(PLACES)
def test_place(both: Start, profile: Path, row: Place) -> None:
    outcomes = [at_place(receiver, row) for receiver in both("-xf", profile, "default", *row.options)]
    compare(row, *outcomes)


def at_place(receiver: Receiver, row: Place) -> tuple[int | None, object]:
    row.prepare(receiver.output)
    try:
        statuses = send(receiver.port, [Sample("", CT, INSTANCE, EXPLICIT_LE, DATA)])
        return statuses[0], row.look(receiver.output)
    finally:
        shutil.rmtree(receiver.output, ignore_errors=True)
        receiver.output.mkdir()


@by_rule(MODES)
def test_mode(ours: Start, original: Start, profile: Path, row: Mode) -> None:
    outcomes = []
    for start in (ours, original):
        receiver = start("-xf", profile, "default", "+ssd", umask=row.umask)
        assert send(receiver.port, [Sample("", CT, INSTANCE, EXPLICIT_LE, DATA)]) == [0]
        found = {name: mode(receiver.output / name) for name in tree(receiver.output)}
        outcomes.append(found)
    assert len(outcomes[0]) == 5
    compare(row, *outcomes)
