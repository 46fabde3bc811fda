"""File Meta Information as files have it, and as they should not."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import BinaryIO

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dcmrecv_core import Undeliverable
from dcmrecv_core.testing import fake_event
from dcmrecv_forward.stored import StoredFile, opened, read_meta


def element(number: int, vr: bytes, value: bytes) -> bytes:
    if vr in (b"OB", b"UN"):
        return struct.pack("<HH2sHI", 2, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", 2, number, vr, len(value)) + value


UIDS = element(2, b"UI", b"1.2\0") + element(3, b"UI", b"1.2.3 ") + element(0x10, b"UI", b"1.2.840.10008.1.2\0")
DATA = b"\x08\x00\x05\x00\x00\x00\x00\x00"


def stored(tmp_path: Path, content: bytes) -> StoredFile:
    path = tmp_path / "file"
    path.write_bytes(content)
    with path.open("rb") as file:
        return read_meta(file)


@pytest.mark.parametrize("name", ["CT_small.dcm", "JPEG2000.dcm", "image_dfl.dcm", "ExplVR_BigEnd.dcm"])
def test_real_files(name: str) -> None:
    path = Path(str(get_testdata_file(name)))
    with path.open("rb") as file:
        found = read_meta(file)
    expected = dcmread(path, stop_before_pixels=True).file_meta
    assert found.transfer_syntax_uid == expected.TransferSyntaxUID
    assert found.sop_class_uid == expected.MediaStorageSOPClassUID
    assert found.sop_instance_uid == expected.MediaStorageSOPInstanceUID
    assert found.offset == 144 + expected.FileMetaInformationGroupLength
    assert found.size == path.stat().st_size


def test_odd_meta(tmp_path: Path) -> None:
    """Without group length, with a private value of any length."""
    head = bytes(128) + b"DICM" + element(1, b"OB", b"\0\1") + UIDS + element(0x102, b"OB", bytes(1000))
    found = stored(tmp_path, head + DATA)
    assert (found.sop_class_uid, found.sop_instance_uid) == ("1.2", "1.2.3")
    assert found.offset == len(head) and found.size == len(head) + len(DATA)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "no File Meta Information"),
        (bytes(128) + b"DIXM" + UIDS + DATA, "no File Meta Information"),
        (bytes(128) + b"DICM", "lacks"),
        (bytes(128) + b"DICM" + UIDS[:-26] + DATA, "lacks"),
        (bytes(128) + b"DICM" + element(0x10, b"UI", bytes(1000)) + DATA, "lacks"),
        (bytes(128) + b"DICM" + UIDS, "no data set"),
        (bytes(128) + b"DICM" + UIDS + struct.pack("<HH2sHI", 2, 0x102, b"OB", 0, 2**32 - 1), "no data set"),
    ],
)
def test_no_file_to_send(tmp_path: Path, content: bytes, text: str) -> None:
    with pytest.raises(Undeliverable, match=text):
        stored(tmp_path, content)


def test_what_comes_from_a_pipe_is_copied() -> None:
    reading, writing = os.pipe()
    with fake_event().open() as file, os.fdopen(writing, "wb") as pipe:
        pipe.write(file.read())

    class Piped:
        def open(self) -> BinaryIO:
            return os.fdopen(reading, "rb")

    with opened(Piped()) as file:  # type: ignore[arg-type]
        assert read_meta(file).sop_class_uid == fake_event().sop_class_uid


def test_what_is_stored_elsewhere_gets_a_descriptor() -> None:
    event = fake_event()
    with event.open() as file, pytest.raises(io.UnsupportedOperation):
        file.fileno()
    with opened(event) as file:
        assert file.fileno() > 2
        assert read_meta(file).sop_instance_uid == event.sop_instance_uid
