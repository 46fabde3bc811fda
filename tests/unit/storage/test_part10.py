"""Preamble and File Meta Information, as pydicom reads them and as dcmrecv lays them out."""

from __future__ import annotations

import io

import pydicom
import pytest

from dcmrecv_core.api.version import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dcmrecv_core.storage.part10 import file_prefix
from support.uids import CT, EXPLICIT_LE


def read(prefix: bytes) -> pydicom.dataset.FileMetaDataset:
    return pydicom.dcmread(io.BytesIO(prefix)).file_meta


def test_layout() -> None:
    prefix = file_prefix(CT, "1.2.3", EXPLICIT_LE)
    assert prefix[:132] == bytes(128) + b"DICM"
    assert prefix[132:140] == bytes.fromhex("02000000554c0400")
    assert int.from_bytes(prefix[140:144], "little") == len(prefix) - 144
    assert prefix[144:158] == bytes.fromhex("02000100 4f42 0000 02000000 0001")
    assert prefix[158:192] == bytes.fromhex("02000200 5549 1a00") + CT.encode() + b"\0"
    assert prefix[192:206] == bytes.fromhex("02000300 5549 0600") + b"1.2.3\0"
    assert [element.tag.element for element in read(prefix)] == [0, 1, 2, 3, 0x10, 0x12, 0x13]


@pytest.mark.parametrize("source_ae_title", [None, "", "ME", "SOMEBODY", "SIXTEEN LETTERS!"])
def test_pydicom_reads_it(source_ae_title: str | None) -> None:
    prefix = file_prefix(CT, "1.2.3.4", EXPLICIT_LE, source_ae_title)
    assert len(prefix) % 2 == 0
    meta = read(prefix)
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
