"""Objects that are uploaded in parts: whole or not there, and nothing temporary stays."""

from __future__ import annotations

import hashlib
import os
import re
import struct
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Self

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, _config
from servers import options

from dcmrecv_core import StorageError
from dcmrecv_core.testing import StartReceiver, fake_instance, fake_settings, sample_dataset
from dcmrecv_s3 import S3Plugin, client, upload
from support.servers.s3_server import S3Server

MEGABYTE = 1 << 20
PATIENCE = 600.0
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


def large(megabytes: int) -> Dataset:
    dataset = sample_dataset(SOPInstanceUID="1.2.3", Rows=1024, Columns=512 * megabytes)
    dataset.add_new(0x7FE00010, "OW", os.urandom(MEGABYTE) * megabytes)
    return dataset


class Memory:
    """The most memory of a worker in the meantime, in MB: what it shares with others is divided among them (PSS)."""

    def __init__(self, workers: Callable[[], set[int]]) -> None:
        self.most = 0.0
        self._workers = workers
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ending.wait(0.02):
            for pid in self._workers():
                with suppress(FileNotFoundError, ProcessLookupError):
                    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                    self.most = max(self.most, int(re.findall(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)[0]) / 1000)


def write_large(path: Path, size: int) -> str:
    """A file with `size` bytes of pixel data; returns their SHA-256."""
    dataset = sample_dataset(SOPInstanceUID="1.2.3")
    del dataset.PixelData
    dataset.save_as(path, enforce_file_format=True)
    digest = hashlib.sha256()
    megabyte = os.urandom(MEGABYTE)
    with path.open("ab") as file:
        file.write(struct.pack("<HH2sxxI", 0x7FE0, 0x0010, b"OW", size))
        for at in range(0, size, MEGABYTE):
            piece = (struct.pack("<Q", at) + megabyte[8:])[: size - at]
            file.write(piece)
            digest.update(piece)
    return digest.hexdigest()


def send_file(port: int, path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Send it without reading it whole; the status."""
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    entity = AE()
    entity.dimse_timeout = entity.network_timeout = PATIENCE
    entity.maximum_pdu_size = 0
    entity.add_requested_context(CT, EXPLICIT_VR_LITTLE_ENDIAN)
    association = entity.associate("127.0.0.1", port)
    try:
        return int(association.send_c_store(path).Status)
    finally:
        association.release()


def digest_of_last(server: S3Server, bucket: str, key: str, size: int) -> str:
    """The SHA-256 of the last `size` bytes of an object."""
    digest = hashlib.sha256()
    with closing(server.client.get_object(Bucket=bucket, Key=key, Range=f"bytes=-{size}")["Body"]) as body:
        for piece in body.iter_chunks(MEGABYTE):
            digest.update(piece)
    return digest.hexdigest()


@pytest.mark.parametrize("policy", ["overwrite", "replace-same"])
@pytest.mark.timeout(2 * PATIENCE)
def test_a_large_instance(
    start_receiver: StartReceiver,
    server: S3Server,
    bucket: str,
    policy: str,
    tmp_path: Path,
    large_size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither received nor uploaded does a worker hold it in memory."""
    receiver = start_receiver("-pdu", 131072, *options(server.endpoint, bucket, "--on-duplicate", policy))
    digest = write_large(tmp_path / "large.dcm", large_size)
    with Memory(receiver.workers) as memory:
        assert send_file(receiver.port, tmp_path / "large.dcm", monkeypatch) == 0
    print(f"{large_size >> 20} MiB: {memory.most:.1f} MB in a worker")
    assert 10 < memory.most < 64
    assert server.keys(bucket) == ["site/CT.1.2.3"]
    assert digest_of_last(server, bucket, "site/CT.1.2.3", large_size) == digest
    assert not server.client.list_multipart_uploads(Bucket=bucket).get("Uploads")


@pytest.mark.parametrize("policy", ["overwrite", "replace-same"])
def test_an_upload_that_breaks_off_leaves_no_object(
    server: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    settings = {"s3_url": f"s3://{bucket}", "s3_endpoint": server.endpoint, "s3_timeout": 30, "s3_unconditional": True}
    plugin = S3Plugin()
    plugin.configure(fake_settings(plugin, options=settings, output_directory=str(tmp_path)))
    plugin.worker_started()
    instance = fake_instance(large(10), output_directory=tmp_path)
    instance.on_exists = policy  # type: ignore[assignment]

    async def broken(writer: object) -> None:
        raise OSError("the connection failed")

    with monkeypatch.context() as broken_end:
        broken_end.setattr(upload, "_closed", broken)
        with pytest.raises(Exception, match="S3: the connection failed") as caught:
            plugin.write(instance, f"{tmp_path}/a")
        assert caught.value.status == 0xA700  # type: ignore[attr-defined]
    assert server.keys(bucket) == []
    assert plugin.write(instance, f"{tmp_path}/a") == f"s3://{bucket}/a"
    assert server.keys(bucket) == ["a"]
    plugin.worker_stopping()


def test_an_answer_that_is_lost_leaves_no_temporary_object(
    server: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"s3_url": f"s3://{bucket}", "s3_endpoint": server.endpoint, "s3_timeout": 30.0}
    plugin = S3Plugin()
    plugin.configure(fake_settings(plugin, options=settings, output_directory=str(tmp_path)))
    closed = upload._closed

    async def lost(writer: Any) -> None:
        await closed(writer)
        raise OSError("the connection failed")

    monkeypatch.setattr(upload, "_closed", lost)
    with pytest.raises(StorageError, match="S3: the connection failed"):
        plugin.write(fake_instance(large(10), output_directory=tmp_path), f"{tmp_path}/a")
    assert server.keys(bucket) == []
    plugin.worker_stopping()


def test_parts_are_within_what_s3_takes() -> None:
    """At least 5 MiB, at most 10 000 of them."""
    assert 5 * MEGABYTE <= client.PART and client.PART * 10_000 > 64 << 30
