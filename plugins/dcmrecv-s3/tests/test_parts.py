"""Objects that are uploaded in parts: whole or not there, and nothing temporary stays."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pytest
from pydicom.dataset import Dataset
from servers import Server, options

from dcmrecv_core import StorageError
from dcmrecv_core.testing import StartReceiver, fake_instance, fake_settings, sample_dataset
from dcmrecv_s3 import S3Plugin, client, upload

MEGABYTE = 1 << 20


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


@pytest.mark.parametrize("policy", ["overwrite", "replace-same"])
def test_a_large_instance(start_receiver: StartReceiver, server: Server, bucket: str, policy: str) -> None:
    receiver = start_receiver(*options(server.endpoint, bucket, "--on-duplicate", policy))
    sent = large(20)
    with Memory(receiver.workers) as memory:
        assert receiver.send(sent) == [0]
    assert 10 < memory.most < 64
    assert server.keys(bucket) == ["site/CT.1.2.3"]
    data = server.read(bucket, "site/CT.1.2.3")
    assert hashlib.sha256(data[-20 * MEGABYTE :]).digest() == hashlib.sha256(sent.PixelData).digest()
    assert not server.client.list_multipart_uploads(Bucket=bucket).get("Uploads")


@pytest.mark.parametrize("policy", ["overwrite", "replace-same"])
def test_an_upload_that_breaks_off_leaves_no_object(
    server: Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    settings = {"s3_url": f"s3://{bucket}", "s3_endpoint": server.endpoint, "s3_timeout": 30, "s3_unconditional": True}
    plugin = S3Plugin()
    plugin.configure(fake_settings(options=settings, output_directory=str(tmp_path)))
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
    server: Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"s3_url": f"s3://{bucket}", "s3_endpoint": server.endpoint, "s3_timeout": 30, "s3_unconditional": False}
    plugin = S3Plugin()
    plugin.configure(fake_settings(options=settings, output_directory=str(tmp_path)))
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
