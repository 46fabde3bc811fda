"""File Meta Information: which elements there are, in which order, and where their values come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from dcmrecv_core.api.version import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from support.data.datasets import element, identification, instance_of
from support.data.samples import Sample
from support.parity.rules import Row, by_rule, compare
from support.parity.storing import IMPLEMENTATION, association_profile, store
from support.programs.receivers import Start
from support.uids import BIG_ENDIAN, CT, EXPLICIT_LE, IMPLICIT_LE, MR

BIT_PRESERVING = ("+B",)
NAME = element(0x00100010, "PN", b"Doe^Jane")


@dataclass(frozen=True, kw_only=True, slots=True)
class FileMeta(Row):
    """An outcome is preamble and elements in their order, but for the values that identify the implementation; of a row
    that differs, the values of `elements`, as far as they are there."""

    kind: ClassVar[str] = "File Meta Information"
    options: tuple[str, ...] = ()
    sop_class: str = CT
    sop_instance: str = "1.2.3"
    data: bytes = instance_of(CT, "1.2.3")
    transfer_syntax: str = EXPLICIT_LE
    calling: str = "RAWSCU"
    elements: tuple[int, ...] = (0x00020002, 0x00020003, 0x00020016)


def uids(sop_class: bytes, sop_instance: bytes, vr: str = "UI") -> bytes:
    """A data set with these values of SOP Class UID and SOP Instance UID, as they are."""
    return element(0x00080016, vr, sop_class) + element(0x00080018, vr, sop_instance) + NAME


CT_PADDED, MR_PADDED = CT.encode() + b"\0", b"1.2.840.10008.5.1.4.1.1.4\0"
OF_COMMAND = (CT_PADDED, b"1.2.3\0")
MADE_UP = (
    "DCMTK dcmrecv invents a class and an instance that are in neither command nor data set; ours takes the command's."
)
OUR_CLASS, DCMTKS_CLASS = IMPLEMENTATION_CLASS_UID.encode() + b"\0", b"1.2.276.0.7230010.3.0.3.6.7\0"
NEW, ROOT_OF_NEW = b"NEW", b"1.2.276.0.7230010.3.1.4."
FRESH = (b"1.2.276.0.7230010.3.1.0.1\0", NEW)

ROWS = (
    FileMeta(rule="elements in normal mode"),
    FileMeta(rule="elements with --bit-preserving", options=BIT_PRESERVING),
    FileMeta(rule="an instance of an even length", sop_instance="1.23", data=instance_of(CT, "1.23")),
    FileMeta(
        rule="implicit VR little endian",
        data=identification(CT, "1.2.3", explicit=False),
        transfer_syntax=IMPLICIT_LE,
    ),
    FileMeta(rule="explicit VR big endian", data=identification(CT, "1.2.3", little=False), transfer_syntax=BIG_ENDIAN),
    FileMeta(
        rule="the implementation",
        elements=IMPLEMENTATION[1:],
        differs="Each implementation has a class UID and a version name of its own.",
        ours=(OUR_CLASS, IMPLEMENTATION_VERSION_NAME.encode()),
        theirs=(DCMTKS_CLASS, b"OFFIS_DCMTK_367 "),
    ),
    FileMeta(
        rule="the implementation with --bit-preserving",
        options=BIT_PRESERVING,
        elements=IMPLEMENTATION[1:],
        differs="Each implementation has a class UID and a version name of its own.",
        ours=(OUR_CLASS, IMPLEMENTATION_VERSION_NAME.encode()),
        theirs=(DCMTKS_CLASS, b"OFFIS_DCMBP_367 "),
    ),
    # class and instance
    FileMeta(rule="class and instance of the data set, not of the command", data=instance_of(MR, "9.8.7")),
    FileMeta(
        rule="class and instance of the command with --bit-preserving",
        data=instance_of(MR, "9.8.7"),
        options=BIT_PRESERVING,
    ),
    FileMeta(
        rule="no class and no instance in the data set",
        data=NAME,
        differs=MADE_UP,
        ours=OF_COMMAND,
        theirs=FRESH,
    ),
    FileMeta(
        rule="no instance in the data set",
        data=element(0x00080016, "UI", MR_PADDED) + NAME,
        differs=MADE_UP.replace("a class and an instance", "an instance"),
        ours=(MR_PADDED, b"1.2.3\0"),
        theirs=(MR_PADDED, NEW),
    ),
    FileMeta(
        rule="an empty class and an empty instance in the data set",
        data=uids(b"", b""),
        differs="DCMTK dcmrecv leaves both empty, which PS3.10 forbids; ours takes the command's.",
        ours=OF_COMMAND,
        theirs=(b"", b""),
    ),
    FileMeta(
        rule="class and instance with another VR",
        data=uids(MR_PADDED, b"9.8.7 ", "LO"),
        differs="DCMTK dcmrecv does not accept them as UIDs and invents others; ours reads them.",
        ours=(MR_PADDED, b"9.8.7\0"),
        theirs=FRESH,
    ),
    FileMeta(
        rule="class and instance padded with blanks",
        data=uids(MR_PADDED[:-1] + b" ", b"9.8.7 "),
        differs="DCMTK dcmrecv keeps the blanks, which are not valid padding of UIDs; ours pads with NUL.",
        ours=(MR_PADDED, b"9.8.7\0"),
        theirs=(MR_PADDED[:-1] + b" ", b"9.8.7 "),
    ),
    FileMeta(rule="blanks in front of class and instance", data=uids(b" " + CT.encode(), b" 1.2.3")),
    FileMeta(rule="a NUL within the data set's instance", data=uids(CT_PADDED, b"1.2\x003\0")),
    FileMeta(rule="two instances in the data set", data=uids(CT_PADDED, b"1.2\\1.3\0")),
    FileMeta(rule="an instance of 70 characters in the data set", data=uids(CT_PADDED, b"1." + b"2" * 68)),
    FileMeta(rule="an instance of letters in the data set", data=uids(CT_PADDED, b"letters\0")),
    FileMeta(
        rule="padding of the command's UIDs with --bit-preserving",
        options=BIT_PRESERVING,
        sop_class=CT + " ",
        sop_instance="1.2.3 \0\0",
    ),
    FileMeta(
        rule="elements of group 0002 in the data set are not used",
        data=element(0x00020002, "UI", MR_PADDED)
        + element(0x00020010, "UI", b"1.2.840.10008.1.2\0")
        + element(0x00020016, "AE", b"OTHER ")
        + instance_of(CT, "1.2.3"),
    ),
    # the source
    FileMeta(rule="a source of an odd length", options=BIT_PRESERVING, calling="ODD"),
    FileMeta(rule="a source of 16 characters", options=BIT_PRESERVING, calling="A" * 16),
    FileMeta(rule="a source with a blank in it", options=BIT_PRESERVING, calling="A B"),
    FileMeta(rule="a source is cut at a NUL", options=BIT_PRESERVING, calling="A\0B"),
    FileMeta(rule="a source beyond ASCII", options=BIT_PRESERVING, calling="caf\xe9"),
    FileMeta(rule="a source with control characters", options=BIT_PRESERVING, calling="A\x1b["),
    FileMeta(
        rule="a source with blanks in front",
        options=BIT_PRESERVING,
        calling="  A",
        differs="DCMTK dcmrecv keeps leading blanks of the calling title; ours removes them (PS3.5 6.2).",
        ours=(*OF_COMMAND, b"A "),
        theirs=(*OF_COMMAND, b"  A "),
    ),
)


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return association_profile(tmp_path_factory.mktemp("meta"))


@by_rule(ROWS)
def test_file_meta(both: Start, profile: Path, row: FileMeta) -> None:
    sample = Sample("", row.sop_class, row.sop_instance, row.transfer_syntax, row.data)
    outcomes: list[object] = []
    for receiver in both("-xf", profile, "default", *row.options):
        stored = store(receiver, sample, context=CT, calling=row.calling)
        [file] = stored.files.values()
        assert stored.status == 0
        assert file.meta_length == sum(
            8 + 4 * (vr == "OB") + len(value) for tag, (vr, value) in file.meta.items() if tag != 0x00020000
        )
        values = {tag: value for tag, (_, value) in file.meta.items()}
        values[0x00020003] = NEW if values[0x00020003].startswith(ROOT_OF_NEW) else values[0x00020003]
        if row.differs:
            outcomes.append(tuple(values[tag] for tag in row.elements if tag in values))
        else:
            same = [(tag, vr, "" if tag in IMPLEMENTATION else value) for tag, (vr, value) in file.meta.items()]
            outcomes.append((file.preamble, same))
    compare(row, *outcomes)
