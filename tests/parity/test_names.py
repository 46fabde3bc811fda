"""File names: the prefix of each SOP class, each scheme, and odd UIDs and extensions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from dcmrecv_core.settings import uids
from support.data.datasets import element, identification, instance_of
from support.data.samples import Sample
from support.parity.rules import Row, by_rule, compare
from support.parity.storing import association_profile, store
from support.programs.receivers import Start
from support.uids import CT, DICOMDIR, EXPLICIT_LE, MR, PRIVATE_CLASS, VERIFICATION


@dataclass(frozen=True, kw_only=True, slots=True)
class FileName(Row):
    """The command's class and instance and, unless they are the same, the data set's SOP Common elements; presentation
    context and data set are of CT. An outcome is the status, None for an abort, and the file's name without what
    changes each time, None if there is no file."""

    kind: ClassVar[str] = "file name"
    options: tuple[str, ...] = ()
    sop_class: str = CT
    sop_instance: str = "1.2.3"
    data: bytes = instance_of(CT, "1.2.3")


@dataclass(frozen=True, kw_only=True, slots=True)
class Prefix(FileName):
    kind: ClassVar[str] = "prefix of a SOP class"


NEWER = {
    "ConfocalMicroscopyImageStorage": "CFm",
    "ConfocalMicroscopyTiledPyramidalImageStorage": "CFt",
    "DICONDE_ThermographyImageStorage": "TG",
    "DICONDE_ThermographyMultiFrameImageStorage": "TGm",
    "DICONDE_UltrasoundWaveformStorage": "UW",
    "EnhancedContinuousRTImageStorage": "RIc",
    "EnhancedRTImageStorage": "RIe",
    "General32BitECGWaveformStorage": "ECGh",
    "HeightMapSegmentationStorage": "SGh",
    "InventoryStorage": "INV",
    "LabelMapSegmentationStorage": "SGl",
    "PhotoacousticImageStorage": "PA",
    "RTPatientPositionAcquisitionInstructionStorage": "RPp",
    "VariableModalityLUTSoftcopyPresentationStateStorage": "PSv",
    "WaveformAcquisitionPresentationStateStorage": "PSq",
    "WaveformAnnotationSRStorage": "SRw",
    "WaveformPresentationStateStorage": "PSw",
}
"""Prefixes of classes that later versions than 3.6.7 know."""


def prefixes() -> Iterator[Prefix]:
    for uid in uids.storage_sop_classes():
        name = uids.name_of(uid) or uid
        yield Prefix(
            rule=f"prefix of {name}",
            sop_class=uid,
            differs="The class is newer than 3.6.7; ours has the prefix of the later versions."
            if name in NEWER
            else "",
            ours=(0, f"{NEWER.get(name)}.1.2.3"),
            theirs=(0, "UNKNOWN.1.2.3"),
        )
    for what, uid in (("a private class", PRIVATE_CLASS), ("Verification", VERIFICATION), ("the DICOMDIR", DICOMDIR)):
        yield Prefix(rule=f"prefix of {what}", sop_class=uid)


SCHEMES = {
    "the default scheme": (),
    "+fd": ("+fd",),
    "+fu": ("+fu",),
    "+fsu": ("+fsu",),
    "+fst": ("+fst",),
    "--bit-preserving": ("+B",),
    "+fu with --bit-preserving": ("+B", "+fu"),
    "--ignore": ("--ignore",),
    "the last scheme of several": ("+fsu", "+fu", "+fst", "+fd"),
}
EXTENSIONS = {
    "-fe .dcm": ".dcm",
    "-fe with nothing": "",
    "-fe without a dot": "dcm",
    "-fe with unfit characters": "/..\\x*",
}


def schemes() -> Iterator[FileName]:
    for words, options in SCHEMES.items():
        yield FileName(rule=f"a name by {words}", options=options)
        yield FileName(rule=f"a name by {words} without a prefix", options=options, sop_class=PRIVATE_CLASS)
    for scheme in ("+fd", "+fu", "+fsu", "+fst"):
        yield FileName(rule=f"a name by {scheme} with -fe", options=(scheme, "-fe", ".dcm"))


UNNAMED = element(0x00100010, "PN", b"Doe^Jane")
ABORTED = (None, None)
UNFIT = "DCMTK dcmrecv writes _ for each unfit character, so that two names may become one; ours adds a hash."
NO_CLASS = "DCMTK dcmrecv aborts the association; ours answers 0122 and goes on."
NO_INSTANCE = "DCMTK dcmrecv aborts the association; ours answers 0117 and goes on."
WHITE_SPACE = "DCMTK dcmrecv treats all white space as padding; ours only blanks and NUL, and escapes the rest."


def hashed(rule: str, instance: str, ours: str, theirs: str, differs: str = UNFIT) -> FileName:
    return FileName(rule=rule, sop_instance=instance, differs=differs, ours=(0, ours), theirs=(0, theirs))


def refused(rule: str, status: int, differs: str, **fields: object) -> FileName:
    return FileName(rule=rule, differs=differs, ours=(status, None), theirs=ABORTED, **fields)  # type: ignore[arg-type]


ODD_UIDS = (
    # instances
    FileName(rule="an instance of 64 characters", sop_instance="1." + "2" * 62),
    refused("an instance of 65 characters", 0x0117, NO_INSTANCE, sop_instance="1." + "2" * 63),
    refused("an empty instance", 0x0117, NO_INSTANCE, sop_instance=""),
    refused("an instance of blanks", 0x0117, NO_INSTANCE, sop_instance="    "),
    refused("an instance of NULs", 0x0117, NO_INSTANCE, sop_instance="\0\0"),
    FileName(rule="an instance is cut at a NUL", sop_instance="1.2\x003.4"),
    FileName(rule="blanks after an instance", sop_instance="1.2   "),
    FileName(rule="blanks before an instance", sop_instance="  1.2 "),
    FileName(rule="a blank before a NUL", sop_instance="1.2 \0 "),
    FileName(rule="a blank in an instance", sop_instance="1.2 .3"),
    hashed("a tab before an instance", "\t1.2", "CT._1.2~x", "CT.1.2", WHITE_SPACE),
    hashed("a line feed after an instance", "1.2\n", "CT.1.2_~x", "CT.1.2", WHITE_SPACE),
    FileName(rule="an instance of letters", sop_instance="CT.1"),
    FileName(rule="an instance of two dots", sop_instance=".."),
    FileName(rule="an instance with a hyphen in front", sop_instance="-rf"),
    FileName(rule="an instance with a dot in front", sop_instance=".hidden"),
    FileName(rule="an instance with colon, at sign and underscore", sop_instance="a:b@c_d"),
    hashed("a slash", "1/2", "CT.1_2~x", "CT.1_2"),
    hashed("a way out of the directory", "a/../b", "CT.a_.._b~x", "CT.a_.._b"),
    hashed("a backslash", "1\\2", "CT.1_2~x", "CT.1_2"),
    hashed("quotes", "a\"b'c", "CT.a_b_c~x", "CT.a_b_c"),
    hashed("characters that shells know", "a*?<>|$;&", "CT.a________~x", "CT.a________"),
    hashed("a tilde", "1~2", "CT.1_2~x", "CT.1_2"),
    hashed("control characters", "\x01\x1b[2J", "CT.___2J~x", "CT.___2J"),
    hashed("bytes beyond ASCII", "caf\xe9", "CT.caf_~x", "CT.caf_"),
    # classes
    FileName(rule="the command's class, not the data set's", sop_class=MR),
    FileName(rule="the data set's class if the command's is empty", sop_class=""),
    FileName(rule="no class at all", sop_class="", data=UNNAMED),
    FileName(rule="empty classes", sop_class="", data=identification("", "1.2.3")),
    refused("an empty class with --bit-preserving", 0x0122, NO_CLASS, options=("+B",), sop_class=""),
    FileName(rule="a class that is no UID", sop_class="1.2.x"),
    FileName(rule="a class of 64 characters", sop_class="1." + "2" * 62),
    refused("a class of 65 characters", 0x0122, NO_CLASS, sop_class="1." + "2" * 63),
    FileName(rule="a class is cut at a NUL", sop_class=CT + "\0x"),
    FileName(rule="a blank after a class", sop_class=CT + " "),
    FileName(rule="a blank before a class", sop_class=" " + CT),
)
PREFIXES = tuple(prefixes())
NAMES = (*schemes(), *(FileName(rule=rule, options=("-fe", text)) for rule, text in EXTENSIONS.items()), *ODD_UIDS)
ROWS: tuple[FileName, ...] = (*PREFIXES, *NAMES)

CHANGING = (
    (r"\.X\.\d[\d.]*\d", ".X.UID"),
    (r"(?<=_)[0-9a-f]{16}", "DIGITS"),
    (r"\A20\d{12}\.\d{6}\.", "TIME."),
)
"""The parts of the schemes that differ from file to file: a new UID, 16 hexadecimal digits, the local time."""
HASH = re.compile(r"~[0-9a-f]{8}\Z")


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return association_profile(tmp_path_factory.mktemp("names"))


@by_rule(ROWS)
def test_name(both: Start, profile: Path, row: FileName) -> None:
    sample = Sample("", row.sop_class, row.sop_instance, EXPLICIT_LE, row.data)
    outcomes = []
    for receiver in both("-xf", profile, "default", *row.options):
        stored = store(receiver, sample, context=CT)
        names = [shape(name) for name in stored.files]
        assert len(names) <= 1
        outcomes.append((stored.status, names[0] if names else None))
    compare(row, *outcomes)


def shape(name: str) -> str:
    for pattern, word in CHANGING:
        name = re.sub(pattern, word, name)
    return HASH.sub("~x", name)
