"""The record that the hook makes and that of the file are the same, whatever was stored."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

import pytest

from dcmrecv_core import Instance
from dcmrecv_core.dataset.encodings import encoding_of
from dcmrecv_core.hooks.limits import HookTimer
from dcmrecv_core.receive.instance import ReceivedInstance
from dcmrecv_core.storage.content import FileContent
from dcmrecv_core.storage.file_meta import file_prefix
from dcmrecv_core.storage.publish import Publisher
from dcmrecv_core.storage.temporary import Capabilities
from dcmrecv_core.testing import fake_association, fake_instance, sample_dataset
from dcmrecv_index.commands import main
from dcmrecv_index.record import Record, record_of
from dcmrecv_index.rescan import record_of_file
from dcmrecv_index.rows import rows_of

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT, DEFLATED, UNKNOWN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.3.4.99"


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


UIDS = element(0x00080016, b"UI", MR.encode() + b"\0") + element(0x00080018, b"UI", b"1.2.3\0")
PATIENT = element(0x00100020, b"LO", b"P1")
PIXELS = element(0x7FE00010, b"OW", b"") + struct.pack("<I", 8) + bytes(8)


def told_and_found(path: Path, data: bytes, syntax: str) -> tuple[Record, Record]:
    """The records of an instance that was stored unchecked, with class and instance of the command in its File Meta
    Information."""
    uids = (CT, "1.2.3", syntax)
    prefix = file_prefix(*uids)
    path.write_bytes(prefix + data)
    publisher = Publisher("", fsync=False, capabilities=Capabilities())
    instance: Instance = ReceivedInstance(
        fake_association(), uids, FileContent(prefix, (data,)), None, encoding_of(syntax), publisher, HookTimer()
    )
    found = record_of_file(path)
    assert found is not None
    return record_of(instance, str(path), path.stat().st_mtime_ns), found


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


COMMENTS = element(0x00104000, b"LT", random.Random(4711).randbytes(60000))


@pytest.mark.parametrize(
    ("data", "syntax", "patient"),
    [
        (UIDS + PATIENT + PIXELS, EXPLICIT, "P1"),
        (UIDS + PIXELS + PATIENT, EXPLICIT, "P1"),
        (UIDS + PIXELS + PATIENT[:-1], EXPLICIT, ""),
        (UIDS + PATIENT + PIXELS[:-1], EXPLICIT, "P1"),
        (b"unreadable", EXPLICIT, ""),
        (b"", EXPLICIT, ""),
        (b"\xff" * 20, DEFLATED, ""),
        (deflated(UIDS + PATIENT + COMMENTS)[:59000], DEFLATED, "P1"),
        (deflated(UIDS + element(0x00080050, b"SH", COMMENTS[8:60000]) + PATIENT)[:59000], DEFLATED, ""),
        (b"unreadable", UNKNOWN, ""),
    ],
    ids=[
        "whole",
        "behind the pixel data",
        "broken behind the pixel data",
        "broken in the pixel data",
        "unreadable",
        "empty",
        "not deflated",
        "deflated and broken off",
        "broken off in a value of the index",
        "unknown transfer syntax",
    ],
)
def test_told_is_found(tmp_path: Path, data: bytes, syntax: str, patient: str) -> None:
    told, found = told_and_found(tmp_path / "x", data, syntax)
    assert found == told
    assert rows_of(found).patient["patient_id"] == patient
    assert (found.sop_instance_uid, found.transfer_syntax_uid) == ("1.2.3", syntax)


def test_the_class_is_the_data_set_s(tmp_path: Path) -> None:
    """As in the File Meta Information, also if the command had another one."""
    instance = fake_instance(sample_dataset(SOPClassUID=MR), output_directory=tmp_path)
    location = instance.save("x")
    instance.sop_class_uid = CT
    found = record_of_file(Path(location))
    assert found is not None
    assert found.sop_class_uid == record_of(instance, location, 0).sop_class_uid == MR


def test_an_unreadable_data_set_is_indexed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was answered with Success."""
    told_and_found(tmp_path / "x", b"unreadable", UNKNOWN)
    (tmp_path / "no instance").write_bytes(file_prefix("", "", UNKNOWN)[:144] + b"unreadable")
    assert main(["rescan", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "1 instances found, 0 pruned\n"
    assert f"{tmp_path}/x: its data set cannot be read: it has no patient" in caplog.text
