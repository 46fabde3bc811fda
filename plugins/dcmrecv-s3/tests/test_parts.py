"""Objects that are uploaded in parts: whole or not there, and nothing temporary stays."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from servers import Moto
from test_plugin import options

from dcmrecv_core.testing import StartReceiver, fake_instance, fake_settings, sample_dataset
from dcmrecv_s3 import S3Plugin, client, upload

MEGABYTE = 1 << 20


def large(megabytes: int) -> Dataset:
    dataset = sample_dataset(SOPInstanceUID="1.2.3", Rows=1024, Columns=512 * megabytes)
    dataset.add_new(0x7FE00010, "OW", os.urandom(MEGABYTE) * megabytes)
    return dataset


@pytest.mark.parametrize("policy", ["overwrite", "replace-same"])
def test_a_large_instance(start_receiver: StartReceiver, moto: Moto, bucket: str, policy: str) -> None:
    receiver = start_receiver(*options(moto.endpoint, bucket, "--on-duplicate", policy))
    sent = large(20)
    assert receiver.send(sent) == [0]
    assert moto.keys(bucket) == ["site/CT.1.2.3"]
    data = moto.read(bucket, "site/CT.1.2.3")
    assert hashlib.sha256(data[-20 * MEGABYTE :]).digest() == hashlib.sha256(sent.PixelData).digest()
    most = [int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0]) for pid in receiver.workers()]
    assert most
    assert not moto.client.list_multipart_uploads(Bucket=bucket).get("Uploads")


@pytest.mark.parametrize("policy", ["overwrite", "replace-same"])
def test_an_upload_that_breaks_off_leaves_no_object(
    moto: Moto, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    settings = {"s3_url": f"s3://{bucket}", "s3_endpoint": moto.endpoint, "s3_timeout": 30, "s3_unconditional": True}
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
    assert moto.keys(bucket) == []
    assert plugin.write(instance, f"{tmp_path}/a") == f"s3://{bucket}/a"
    assert moto.keys(bucket) == ["a"]
    plugin.worker_stopping()


def test_parts_are_within_what_s3_takes() -> None:
    """At least 5 MiB, at most 10 000 of them."""
    assert 5 * MEGABYTE <= client.PART and client.PART * 10_000 > 64 << 30
