"""Data sets of real files in every transfer syntax: the stored elements are those that were sent.

The files are pydicom's own, what DCMTK's tools make of some of them, and a small data set in each transfer syntax that
pydicom knows. The stored bytes may differ (`test_odd_data_sets.py`): DCMTK dcmrecv writes lengths anew. So two
libraries read the sent and the stored file, and the results are compared without lengths. With --bit-preserving the
bytes are compared.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from struct import pack
from typing import Any, ClassVar

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

from support.data.samples import PYDICOM_DATA, Sample, made_samples, pydicom_files, pydicom_samples, sample_of
from support.parity.rules import Row, by_rule, compare
from support.parity.storing import IMPLEMENTATION, association_profile, store
from support.programs.receivers import Start, run, system_program
from support.uids import PRIVATE_SYNTAX

TOOLS = (
    "dcmconv +te +e",
    "dcmconv +te -e",
    "dcmconv +ti +g",
    "dcmconv +tb",
    "dcmconv +td",
    "dcmcjpeg +e1",
    "dcmcjpeg +el",
    "dcmcjpeg +eb",
    "dcmcjpeg +ee",
    "dcmcjpls +el",
    "dcmcrle",
)
"""Tools that derive files: lengths of sequences defined or not, group lengths, each encoding of pixels."""
WITH_PIXELS = ("CT_small.dcm", "SC_rgb_small_odd.dcm")
WITHOUT_PIXELS = ("rtdose.dcm", "reportsi.dcm", "rtplan.dcm", "waveform_ecg.dcm", "liver_expb_1frame.dcm")
"""These have no pixels, or none that a tool would compress, but sequences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet(Row):
    """`file` is one of pydicom's, or the transfer syntax of a data set that is made here. An outcome is the status,
    None for an abort, and how the stored data set differs from the one that was sent."""

    kind: ClassVar[str] = "data set of a file"
    file: str
    tool: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class BitPreserved(DataSet):
    """An outcome is the status and all of the file but for what identifies the implementation."""

    kind: ClassVar[str] = "data set of a file with --bit-preserving"


ABORTED = (None, None)
CUT = {
    "differs": "It ends inside a value: DCMTK dcmrecv aborts the association; ours answers C000 and goes on.",
    "ours": (0xC000, None),
    "theirs": ABORTED,
}
UNDECODABLE = {
    "differs": "Its pixel data have VR UN: DCMTK dcmrecv aborts the association; ours need not decode them.",
    "ours": (0, ""),
    "theirs": ABORTED,
}
DIFFERING = {"MR_truncated.dcm": CUT, "rtplan_truncated.dcm": CUT, "SC_rgb_jpeg.dcm": UNDECODABLE}

UNKNOWN_SYNTAX = (
    "DCMTK dcmrecv accepts what its profile lists, but aborts at the first message in a transfer syntax that its "
    "library does not know; ours stores it."
)
KNOWN_TO_OURS_ONLY = re.compile(r"1\.2\.840\.10008\.1\.2\.(4\.10\d\.1|4\.20\d|7\.\d)|" + re.escape(PRIVATE_SYNTAX))
"""Fragmentable MPEG, high-throughput JPEG 2000, SMPTE 2110."""


def data_sets(suffix: str = "") -> Iterator[dict[str, Any]]:
    """The files: the fields of their rows."""
    for path in pydicom_files():
        yield {"rule": f"the data set of {path.name}{suffix}", "file": path.name}
    for files, tools in ((WITH_PIXELS, TOOLS), (WITHOUT_PIXELS, TOOLS[:5])):
        for file in files:
            for tool in tools:
                yield {"rule": f"the data set of {file} after {tool}{suffix}", "file": file, "tool": tool}


def made_data_sets(suffix: str = "") -> Iterator[dict[str, Any]]:
    for uid in (sample.transfer_syntax for sample in made_samples()):
        name = "an unknown transfer syntax" if uid == PRIVATE_SYNTAX else UID(uid).name
        yield {"rule": f"a data set in {name}{suffix}", "file": uid}


def unknown(row: dict[str, Any], ours: object) -> dict[str, Any]:
    """The difference if DCMTK dcmrecv does not know the transfer syntax."""
    if KNOWN_TO_OURS_ONLY.fullmatch(row["file"]):
        return {"differs": UNKNOWN_SYNTAX, "ours": ours, "theirs": ABORTED}
    return {}


NORMAL = (
    *(DataSet(**row, **DIFFERING.get(row["file"], {})) for row in data_sets()),
    *(DataSet(**row, **unknown(row, (0, ""))) for row in made_data_sets()),
)
AS_SENT = " with --bit-preserving"
BIT_PRESERVING = (
    *(BitPreserved(**row) for row in data_sets(AS_SENT)),
    *(BitPreserved(**row) for row in made_data_sets(AS_SENT) if not unknown(row, ABORTED)),
)
ROWS: tuple[DataSet, ...] = (*NORMAL, *BIT_PRESERVING)


def sample_for(row: DataSet, directory: Path) -> Sample:
    """The data set as a sender sends it: a deflated one is padded to an even length (PS3.5 section A.5)."""
    if row.tool:
        [source] = PYDICOM_DATA.rglob(row.file)
        path = directory / "converted.dcm"
        program, *options = row.tool.split()
        done = run(system_program(program), *options, source, path)
        assert done.returncode == 0, done.stderr
        sample = sample_of(path)
        assert sample is not None
    elif row.file.endswith(".dcm"):
        [sample] = (sample for sample in pydicom_samples() if sample.name == row.file)
    else:
        [sample] = (sample for sample in made_samples() if sample.transfer_syntax == row.file)
    return sample._replace(data=sample.data + bytes(len(sample.data) % 2))


def part10(sample: Sample, data: bytes) -> bytes:
    """A file whose File Meta Information has only the transfer syntax."""
    syntax = sample.transfer_syntax.encode() + bytes(len(sample.transfer_syntax) % 2)
    meta = pack("<HH2sH", 0x0002, 0x0010, b"UI", len(syntax)) + syntax
    return bytes(128) + b"DICM" + pack("<HH2sHI", 0x0002, 0, b"UL", 4, len(meta)) + meta + data


def difference(sample: Sample, stored: bytes, directory: Path) -> str:
    """The first difference that DCMTK, then pydicom, reads in the stored data set; "" if there is none."""
    if stored == sample.data:
        return ""
    paths = [directory / "sent", directory / "stored"]
    for path, data in zip(paths, (sample.data, stored), strict=True):
        path.write_bytes(part10(sample, data))
    for read in read_by_dcmdump, read_by_pydicom:
        for lines in zip_longest(*map(read, paths), fillvalue="nothing"):
            if lines[0] != lines[1]:
                return f"{lines[0]:.200} became {lines[1]:.200}"
    return ""


def read_by_dcmdump(path: Path) -> list[str]:
    """Each element with all of its value; no lengths, and neither delimiters nor group lengths."""
    done = run(system_program("dcmdump"), "-q", "+L", "-Un", path)
    lines = (re.sub(r" +#\s+(\d+|u/l),", " #", line) for line in done.stdout.splitlines())
    return [
        line.replace("explicit length", "undefined length")
        for line in lines
        if not re.match(r" *\((fffe,e00d|fffe,e0dd|....,0000)\)", line)
    ]


def read_by_pydicom(path: Path) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(_elements(dcmread(path, force=True)))


def _elements(dataset: Dataset) -> Iterator[str]:
    for element in dataset:
        if element.VR == "SQ":
            for number, item in enumerate(element.value):
                yield from (f"{element.tag}[{number}] {line}" for line in _elements(item))
        elif element.tag.element:
            vr = "OB" if element.is_undefined_length else element.VR  # encapsulated pixel data are nothing else
            yield f"{element.tag} {vr} {element.value!r}"


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    samples = (*pydicom_samples(), *made_samples())
    syntaxes = dict.fromkeys([sample.transfer_syntax for sample in samples])
    classes = dict.fromkeys([sample.sop_class for sample in samples])
    return association_profile(tmp_path_factory.mktemp("data"), classes, syntaxes)


@by_rule(NORMAL)
def test_normal_mode(both: Start, profile: Path, row: DataSet, tmp_path: Path) -> None:
    sample = sample_for(row, tmp_path)
    outcomes = []
    for receiver in both("-xf", profile, "default"):
        stored = store(receiver, sample)
        outcomes.append((stored.status, None if stored.data is None else difference(sample, stored.data, tmp_path)))
    compare(row, *outcomes)


@by_rule(BIT_PRESERVING)
def test_bit_preserving(both: Start, profile: Path, row: BitPreserved, tmp_path: Path) -> None:
    sample = sample_for(row, tmp_path)
    outcomes = []
    for receiver in both("-xf", profile, "default", "+B"):
        [(name, file)] = store(receiver, sample).files.items()
        meta = {tag: value for tag, value in file.meta.items() if tag not in IMPLEMENTATION}
        outcomes.append((name, file.preamble, meta, file.data))
        assert file.data == sample.data
    compare(row, *outcomes)
