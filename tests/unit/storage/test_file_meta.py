"""Preamble and File Meta Information: as made, as pydicom reads them, and what a sender takes from others' files."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest

from dcmrecv_core.api.version import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dcmrecv_core.storage.file_meta import FileMeta, file_prefix, read_file_meta
from support.uids import CT, EXPLICIT_LE

CLASS_UID = f"{CT}\0".encode()
SYNTAX_UID = f"{EXPLICIT_LE}\0".encode()


def element(number: int, vr: bytes, value: bytes, group: int = 2) -> bytes:
    if vr in (b"OB", b"OW", b"UN", b"SQ", b"UT"):
        return struct.pack("<HH2sHI", group, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


CLASS, INSTANCE, SYNTAX = element(2, b"UI", CLASS_UID), element(3, b"UI", b"1.2.3 "), element(0x10, b"UI", SYNTAX_UID)
HEAD = bytes(128) + b"DICM"
Read = Callable[[bytes], FileMeta]


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Read]:
    def read_bytes(data: bytes) -> FileMeta:
        (tmp_path / "file").write_bytes(data)
        fd = os.open(tmp_path / "file", os.O_RDONLY)
        try:
            return read_file_meta(fd)
        finally:
            os.close(fd)

    return read_bytes


@pytest.mark.parametrize(
    ("more", "data_set"),
    [
        (b"", b""),
        (b"", element(5, b"CS", b"ISO_IR 100", group=8)),
        (b"", b"\x08\x00\x05"),
        (element(1, b"OB", b"\0\1"), b""),
        (element(0x102, b"OB", bytes(70000)), b""),
        (element(0x16, b"AE", b"OTHER "), b""),
    ],
    ids=["no data set", "a data set", "less than an element", "its version", "much that is private", "a title"],
)
def test_what_a_sender_needs(read: Read, more: bytes, data_set: bytes) -> None:
    """Padding with NUL or, wrongly, with blanks is no part of a UID; the data set begins where group 2 ends."""
    meta = HEAD + more + CLASS + INSTANCE + SYNTAX
    assert read(meta + data_set) == FileMeta(CT, "1.2.3", EXPLICIT_LE, len(meta))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no DICM at byte 128"),
        (bytes(128) + b"DICOM"[:3], "no DICM at byte 128"),
        (HEAD, r"no Media Storage SOP Class UID \(0002,0002\)"),
        (HEAD + CLASS + SYNTAX, r"no Media Storage SOP Instance UID \(0002,0003\)"),
        (HEAD + CLASS + INSTANCE, r"no Transfer Syntax UID \(0002,0010\)"),
        (HEAD + CLASS + INSTANCE + element(0x10, b"UI", b"\0\0"), r"no Transfer Syntax UID \(0002,0010\)"),
        (HEAD + CLASS + INSTANCE + SYNTAX[:-1], "File Meta Information ends too early"),
        (HEAD + CLASS + element(0x102, b"OB", b"")[:-1], "File Meta Information ends too early"),
        (HEAD + CLASS + element(0x102, b"OB", b"")[:-4] + b"\xff\xff\xff\xff", "File Meta Information ends too early"),
    ],
    ids=[
        "empty",
        "cut off at once",
        "nothing but a preamble",
        "no instance",
        "no syntax",
        "an empty one",
        "a value cut off",
        "a length cut off",
        "four gigabytes",
    ],
)
def test_what_is_no_file(read: Read, data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read(data)


def made(prefix: bytes) -> pydicom.dataset.FileMetaDataset:
    return pydicom.dcmread(io.BytesIO(prefix)).file_meta


def test_layout() -> None:
    prefix = file_prefix(CT, "1.2.3", EXPLICIT_LE)
    assert prefix[:132] == bytes(128) + b"DICM"
    assert prefix[132:140] == bytes.fromhex("02000000554c0400")
    assert int.from_bytes(prefix[140:144], "little") == len(prefix) - 144
    assert prefix[144:158] == bytes.fromhex("02000100 4f42 0000 02000000 0001")
    assert prefix[158:192] == bytes.fromhex("02000200 5549 1a00") + CT.encode() + b"\0"
    assert prefix[192:206] == bytes.fromhex("02000300 5549 0600") + b"1.2.3\0"
    assert [element.tag.element for element in made(prefix)] == [0, 1, 2, 3, 0x10, 0x12, 0x13]


@pytest.mark.parametrize("source_ae_title", [None, "", "ME", "SOMEBODY", "SIXTEEN LETTERS!"])
def test_pydicom_reads_it(source_ae_title: str | None) -> None:
    prefix = file_prefix(CT, "1.2.3.4", EXPLICIT_LE, source_ae_title)
    assert len(prefix) % 2 == 0
    meta = made(prefix)
    assert meta.FileMetaInformationGroupLength == len(prefix) - 144
    assert meta.FileMetaInformationVersion == b"\0\1"
    assert (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) == (CT, "1.2.3.4")
    assert meta.TransferSyntaxUID == EXPLICIT_LE
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME
    assert meta.get("SourceApplicationEntityTitle", None) == source_ae_title


def test_short_strings_are_padded_with_blanks() -> None:
    assert file_prefix(CT, "1.2", EXPLICIT_LE, "ODD").endswith(bytes.fromhex("02001600 4145 0400") + b"ODD ")


@pytest.mark.parametrize("uid", ["", "1" * 65, "9" * 70000, "1.2\xff", "\u4e00\ud800"])
def test_any_text_gives_readable_file_meta(uid: str) -> None:
    prefix = file_prefix(uid, uid, uid, uid)
    length = int.from_bytes(prefix[140:144], "little")
    assert length == len(prefix) - 144
    index, tags = 144, []
    while index < len(prefix):
        tags.append(prefix[index + 2])
        index += (
            14
            if prefix[index + 4 : index + 6] == b"OB"
            else 8 + int.from_bytes(prefix[index + 6 : index + 8], "little")
        )
    assert (index, tags) == (len(prefix), [1, 2, 3, 0x10, 0x12, 0x13, 0x16])
