"""Records of events and of files: the same for the same file, whatever was stored."""

from __future__ import annotations

import logging
import os
import random
import struct
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from dcmrecv_core import StoredEvent
from dcmrecv_core.storage.file_meta import file_prefix
from dcmrecv_core.testing import fake_event, sample_dataset
from dcmrecv_index.commands import main
from dcmrecv_index.record import Record, record_of_event, record_of_file
from dcmrecv_index.rows import rows_of

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT, DEFLATED, UNKNOWN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.3.4.99"


def told_and_found(event: StoredEvent) -> tuple[Record, Record]:
    """The records of an event and of its file; what a file does not tell is left out of the former."""
    found = record_of_file(Path(event.location))
    assert found is not None
    told = record_of_event(replace(event, received_at=datetime.fromtimestamp(1, UTC)))
    assert told.calling_ae_title == event.calling_ae_title
    return replace(told, calling_ae_title=None, called_ae_title=None, peer_address=None), found


def test_an_event_gives_the_same_record_as_its_file(tmp_path: Path) -> None:
    told, found = told_and_found(fake_event(sample_dataset(PatientName="M\u00fcller"), output_directory=tmp_path))
    assert told == found


def test_the_time_of_an_event(tmp_path: Path) -> None:
    """When it was received; not earlier than its file was written, so that a rescan finds nothing new."""
    event = fake_event(output_directory=tmp_path, received_at=datetime.fromtimestamp(200, UTC))
    for written, received in ((100, 200), (300, 300)):
        os.utime(event.location, (written, written))
        assert record_of_event(event).received == received * 10**9
    recovered = replace(event, recovered=True, received_at=None, calling_ae_title=None)
    assert record_of_event(recovered).received == 300 * 10**9
    assert record_of_event(recovered).calling_ae_title is None


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


UIDS = element(0x00080016, b"UI", MR.encode() + b"\0") + element(0x00080018, b"UI", b"1.2.3\0")
PATIENT = element(0x00100020, b"LO", b"P1")
PIXELS = element(0x7FE00010, b"OW", b"") + struct.pack("<I", 8) + bytes(8)
COMMENTS = element(0x00104000, b"LT", random.Random(4711).randbytes(60000))


def stored(path: Path, data: bytes, syntax: str) -> StoredEvent:
    """An instance that was stored unchecked, with class and instance of the command in its File Meta Information."""
    path.write_bytes(file_prefix(CT, "1.2.3", syntax) + data)
    return fake_event(
        output_directory=path.parent,
        location=str(path),
        sop_class_uid=CT,
        sop_instance_uid="1.2.3",
        transfer_syntax_uid=syntax,
        size=len(data),
    )


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
        "after the pixel data",
        "broken after the pixel data",
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
    told, found = told_and_found(stored(tmp_path / "x", data, syntax))
    assert found == told
    assert rows_of(found).patient["patient_id"] == patient
    assert (found.sop_instance_uid, found.transfer_syntax_uid) == ("1.2.3", syntax)


@pytest.mark.parametrize(
    "odd",
    [
        "09000110 5858 0000 ffffffff feff00e0 ffffffff feff0de000000000 feffdde000000000",
        "0900 0110 0000 0400 41424344",
        "0900 0110 5351 0000 04000000 4e4f4e45",
        "feff 0de0 0000 0000",
        "feff dde0 0400 0000",
    ],
    ids=["VR of the future", "no VR", "no items", "item delimiter", "delimiter with a length"],
)
def test_fault_18_a_file_with_an_odd_place_is_read_past_it(tmp_path: Path, odd: str) -> None:
    """The patient comes after it."""
    event = fake_event(sample_dataset(PatientName="Doe^Jane", PatientID="P1"), output_directory=tmp_path)
    path = Path(event.location)
    content = path.read_bytes()
    place = content.index(b"\x10\0\x10\0PN")
    path.write_bytes(content[:place] + bytes.fromhex(odd) + content[place:])
    told, found = told_and_found(event)
    assert told.elements == found.elements
    assert (found.elements["PatientID"], found.elements["PatientName"]) == ("P1", "Doe^Jane")


def test_uids_are_the_data_set_s(tmp_path: Path) -> None:
    """As in the File Meta Information, also if the command had others."""
    event = fake_event(sample_dataset(SOPClassUID=MR, SOPInstanceUID="1.2.3"), output_directory=tmp_path)
    told, found = told_and_found(replace(event, sop_class_uid=CT, sop_instance_uid="1.2.4"))
    assert told.sop_class_uid == found.sop_class_uid == MR
    assert told.sop_instance_uid == found.sop_instance_uid == "1.2.3"


def test_an_unreadable_data_set_is_indexed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was answered with Success."""
    stored(tmp_path / "x", b"unreadable", UNKNOWN)
    (tmp_path / "no instance").write_bytes(file_prefix("", "", UNKNOWN)[:144] + b"unreadable")
    for path in tmp_path.glob("*.dcm"):  # the kit's
        path.unlink()
    assert main(["rescan", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "1 instances found, 0 pruned\n"
    assert f"{tmp_path}/x: its data set cannot be read: it has no patient" in caplog.text


class Elsewhere:
    """A plugin's `open_location`."""

    def __init__(self, result: bytes | Exception) -> None:
        self._result = result

    def open_location(self, location: str) -> BinaryIO:
        if isinstance(self._result, Exception):
            raise self._result
        return BytesIO(self._result)

    def remove_location(self, location: str) -> bool:
        raise NotImplementedError


def test_what_a_plugin_stores_elsewhere_is_read() -> None:
    event = fake_event(sample_dataset(PatientName="Doe^Jane"), location="s3://bucket/1")
    assert record_of_event(event).elements["PatientName"] == "Doe^Jane"
    assert record_of_event(event).location == "s3://bucket/1"


@pytest.mark.parametrize(
    "result", [FileNotFoundError(2, "gone"), LookupError("no plugin can open it"), b"no DICOM", b""], ids=repr
)
def test_without_a_file_the_event_is_what_is_known(result: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    event = replace(fake_event(patient_id="M\u00fcller\udcff", modality="MR"), _locations=Elsewhere(result))
    record = record_of_event(event)
    patient, study, series, instance = rows_of(record)
    assert not record.from_file
    assert patient["patient_id"] == study["patient_id"] == "M\u00fcller?"
    assert study["study_instance_uid"] == event.study_instance_uid
    assert (series["series_instance_uid"], series["modality"]) == (event.series_instance_uid, "MR")
    assert instance["sop_instance_uid"] == event.sop_instance_uid
    assert instance["calling_ae_title"] == event.calling_ae_title
    [message] = caplog.messages
    assert message.startswith(f"SOP instance {event.sop_instance_uid}: its file {event.location} cannot be read: ")


def test_a_file_that_cannot_be_read_now_is_tried_again() -> None:
    event = replace(fake_event(), _locations=Elsewhere(PermissionError(13, "Permission denied")))
    with pytest.raises(PermissionError):
        record_of_event(event)
