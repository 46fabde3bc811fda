"""Pixel data pass unread: an instance of 400 MB needs no more memory than a small one."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.filewriter import dcmwrite
from pynetdicom import AE, _config

from dcmrecv_core.testing import StartReceiver, sample_dataset

SIZE = 400_000_000
LIMIT = "128M"
"""pydicom and the receiver need about 50 MB."""


def large_file(path: Path) -> None:
    """A CT image; of its pixel data only the ends take space on the disk."""
    dataset = sample_dataset(PatientName="Secret^Name", AccessionNumber="SECRET1234")
    del dataset.PixelData
    dcmwrite(path, dataset, enforce_file_format=True)
    with path.open("r+b") as file:
        file.seek(0, 2)
        file.write(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, SIZE) + b"beginning")
        file.seek(SIZE - len(b"beginning") - len(b"end"), 1)
        file.write(b"end")


def digest_of_the_end(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-SIZE, 2)
        return hashlib.file_digest(file, "sha256").digest()


@pytest.mark.timeout(300)
def test_memory(start_receiver: StartReceiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "large.dcm"
    large_file(path)
    options = (
        "-pm",
        "--no-fsync",
        "--max-pdu",
        "131072",
        "--worker-memory",
        LIMIT,
        "--deidentify-key",
        tmp_path / "key",
    )
    receiver = start_receiver(*options, plugins=["deidentify"])
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    sent = dcmread(path, stop_before_pixels=True)
    entity = AE()
    entity.add_requested_context(sent.SOPClassUID, sent.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", receiver.port, max_pdu=131072)
    assert association.send_c_store(path).Status == 0xB000, receiver.log
    association.release()
    [name] = receiver.files()
    stored = receiver.output / name
    with stored.open("rb") as file:
        header = file.read(stored.stat().st_size - SIZE)
    assert b"Secret" not in header and b"SECRET" not in header
    assert dcmread(stored, stop_before_pixels=True).PatientIdentityRemoved == "YES"
    assert digest_of_the_end(stored) == digest_of_the_end(path)
