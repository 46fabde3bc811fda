"""What is sent: pydicom's own test files as data set bytes, and data sets made here byte by byte."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from pydicom.filereader import read_file_meta_info
from pydicom.uid import (
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from support.uids import CT, DICOMDIR, PRIVATE_SYNTAX

LONG_VRS = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"])


class Sample(NamedTuple):
    """A data set as it goes over the wire."""

    name: str
    sop_class: str
    sop_instance: str
    transfer_syntax: str
    data: bytes


@cache
def pydicom_directory() -> Path:
    spec = find_spec("pydicom")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data"


@cache
def pydicom_files() -> tuple[Path, ...]:
    """The Part 10 files of the wheel of pydicom that name their storage SOP class and instance."""
    return tuple(sample[0] for sample in _read_all())


@cache
def pydicom_samples() -> tuple[Sample, ...]:
    return tuple(sample for _, sample in _read_all())


@cache
def _read_all() -> tuple[tuple[Path, Sample], ...]:
    found = {}
    for path in sorted(pydicom_directory().rglob("*.dcm")):
        sample = sample_of(path)
        if sample is not None:
            found[path.name] = (path, sample)
    return tuple(found.values())


def sample_of(path: Path) -> Sample | None:
    """The data set of a Part 10 file; None if it does not name its storage SOP class and instance."""
    content = path.read_bytes()
    if content[128:132] != b"DICM":
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        meta = read_file_meta_info(path)
    length = meta.get("FileMetaInformationGroupLength")
    instance = str(meta.get("MediaStorageSOPInstanceUID", ""))
    sop_class = str(meta.get("MediaStorageSOPClassUID", ""))
    if length is None or not instance or sop_class in ("", DICOMDIR):
        return None
    return Sample(path.name, sop_class, instance, str(meta.TransferSyntaxUID), content[144 + length :])


def element(tag: int, vr: str, value: bytes, *, explicit: bool = True, little: bool = True) -> bytes:
    """One data element (PS3.5 section 7.1); the value is given in the right byte order and padded here."""
    order = "<" if little else ">"
    value += (b" " if vr in ("DA", "LO", "SH", "CS", "PN") else b"\0") * (len(value) % 2)
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if not explicit:
        return head + struct.pack(order + "I", len(value)) + value
    if vr in LONG_VRS:
        return head + vr.encode() + struct.pack(order + "xxI", len(value)) + value
    return head + vr.encode() + struct.pack(order + "H", len(value)) + value


def identification(
    sop_class: str, sop_instance: str, series_date: bytes | None = b"20200102", vr: str = "DA", **encoding: bool
) -> bytes:
    """The SOP Common elements and the Series Date."""
    elements = [(0x00080016, "UI", sop_class.encode("latin-1")), (0x00080018, "UI", sop_instance.encode("latin-1"))]
    if series_date is not None:
        elements.append((0x00080021, vr, series_date))
    elements.append((0x00100010, "PN", b"Doe^Jane"))
    return b"".join(element(*parts, **encoding) for parts in elements)


def pixel_data(size: int = 512) -> bytes:
    return element(0x7FE00010, "OW", bytes(range(256)) * (size // 256))


def pixel_data_header(length: int) -> bytes:
    """The first 12 bytes of native pixel data that is sent piece by piece."""
    return struct.pack("<HH2sxxI", 0x7FE0, 0x0010, b"OW", length)


def encapsulated_pixel_data(fragments: Iterable[bytes] = (b"\xff\xd8\xff\xd9" * 20, b"fragment two")) -> bytes:
    """Pixel data in items: an empty offset table, the fragments, the delimiter (PS3.5 section A.4)."""
    items = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(part)) + part for part in (b"", *fragments))
    header = struct.pack("<HH2sxxI", 0x7FE0, 0x0010, b"OB", 0xFFFFFFFF)
    return header + items + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def deflate(data: bytes) -> bytes:
    """Raw deflate, padded to even (PS3.5 section A.5)."""
    compressor = zlib.compressobj(wbits=-15)
    packed = compressor.compress(data) + compressor.flush()
    return packed + bytes(len(packed) % 2)


@cache
def made_samples() -> tuple[Sample, ...]:
    """A small data set in every transfer syntax that pydicom knows, and in one that nobody knows."""
    return tuple(
        Sample(f"made-{uid}", CT, f"1.2.826.0.1.3680043.9.9999.3.{number}", uid, _made(uid, number))
        for number, uid in enumerate([*map(str, AllTransferSyntaxes), PRIVATE_SYNTAX])
    )


def _made(uid: str, number: int) -> bytes:
    instance = f"1.2.826.0.1.3680043.9.9999.3.{number}"
    if uid == ImplicitVRLittleEndian:
        return identification(CT, instance, explicit=False)
    if uid == ExplicitVRBigEndian:
        return identification(CT, instance, little=False)
    if uid == DeflatedExplicitVRLittleEndian or uid.endswith(".4.205"):
        return deflate(identification(CT, instance))
    if uid == ExplicitVRLittleEndian:
        return identification(CT, instance) + pixel_data()
    if ".1.2.7." in uid or uid.endswith(".4.204"):  # the pixels travel elsewhere
        return identification(CT, instance)
    return identification(CT, instance) + encapsulated_pixel_data()


def instance_of(sop_class: str, sop_instance: str, **details: object) -> bytes:
    """A small explicit little endian data set of the class and instance."""
    return identification(sop_class, sop_instance, **details) + pixel_data()  # type: ignore[arg-type]


class StoredFile(NamedTuple):
    """A DICOM file taken apart without the help of a DICOM library."""

    preamble: bytes
    meta: dict[int, tuple[str, bytes]]
    meta_length: int
    data: bytes


def stored_file(path: Path) -> StoredFile:
    """Preamble, File Meta Information (tag -> VR and value, in the file's order) and data set (PS3.10 section 7.1)."""
    content = path.read_bytes()
    assert content[128:132] == b"DICM"
    [length] = struct.unpack_from("<I", content, 140)
    meta, at, end = {}, 132, 144 + length
    while at < end:
        group, number, vr, size = struct.unpack_from("<HH2sH", content, at)
        at += 8
        if vr.decode() in LONG_VRS:
            [size] = struct.unpack_from("<I", content, at)
            at += 4
        meta[group << 16 | number] = (vr.decode(), content[at : at + size])
        at += size
    assert at == end, "the group length does not end at an element"
    return StoredFile(content[:128], meta, length, content[end:])
