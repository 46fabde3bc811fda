"""A key that is taken: each policy, with whole objects and with objects in parts."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dcmrecv_core import NameTakenError
from dcmrecv_core.testing import fake_instance, fake_settings, sample_dataset
from dcmrecv_s3 import S3Plugin, client, upload
from support.servers.s3_server import S3Server

Write = Callable[..., str]


@pytest.fixture(params=[False, True], ids=["whole", "parts"])
def in_parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param:
        monkeypatch.setattr(upload, "AT_ONCE", 100)
    return bool(request.param)


@pytest.fixture
def plugin(server: S3Server, bucket: str, tmp_path: Path) -> Iterator[S3Plugin]:
    yield from opened(server, bucket, tmp_path, s3_unconditional=False)


@pytest.fixture
def unconditional(server: S3Server, bucket: str, tmp_path: Path) -> Iterator[S3Plugin]:
    yield from opened(server, bucket, tmp_path, s3_unconditional=True)


def opened(server: S3Server, bucket: str, tmp_path: Path, **more: Any) -> Iterator[S3Plugin]:
    options = {"s3_url": f"s3://{bucket}/site", "s3_endpoint": server.endpoint, "s3_timeout": 30, **more}
    made = S3Plugin()
    made.configure(fake_settings(made, options=options, output_directory=str(tmp_path)))
    made.worker_started()
    yield made
    made.worker_stopping()


def write(plugin: S3Plugin, tmp_path: Path, dataset: Dataset, on_exists: str, name: str = "a/CT.dcm") -> str:
    instance = fake_instance(dataset, output_directory=tmp_path)
    instance.on_exists = on_exists  # type: ignore[assignment]
    return plugin.write(instance, f"{tmp_path}/{name}").split("/", 4)[-1]


def test_a_free_key_takes_one_request(
    plugin: S3Plugin, tmp_path: Path, server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that blocks: the event loop is for what takes more."""
    with monkeypatch.context() as patched:
        patched.setattr(client.Bucket, "run", None)
        assert write(plugin, tmp_path, sample_dataset(), "replace-same") == "a/CT.dcm"
        assert write(plugin, tmp_path, sample_dataset(), "overwrite") == "a/CT.dcm"
    assert names(server, bucket) == ["a/CT.dcm"]


def names(server: S3Server, bucket: str) -> list[str]:
    return [key.removeprefix("site/") for key in server.keys(bucket)]


def patient(server: S3Server, bucket: str, name: str) -> str:
    return str(dcmread(io.BytesIO(server.read(bucket, f"site/{name}"))).PatientName)


FIRST = {"SOPInstanceUID": "1.2.3", "PatientName": "FIRST"}
AGAIN = {"SOPInstanceUID": "1.2.3", "PatientName": "AGAIN"}
OTHER = {"SOPInstanceUID": "1.2.4", "PatientName": "OTHER"}
MARKED = "a/CT~a8bfb264.dcm"


@pytest.mark.parametrize("policy", ["overwrite", "replace-same", "rename", "keep", "refuse", "retry"])
def test_an_equal_object_stays(
    plugin: S3Plugin, server: S3Server, bucket: str, tmp_path: Path, policy: str, in_parts: bool
) -> None:
    for _ in range(2):
        assert write(plugin, tmp_path, sample_dataset(**FIRST), policy) == "a/CT.dcm"
    assert names(server, bucket) == ["a/CT.dcm"]


@pytest.mark.parametrize("policy", ["overwrite", "replace-same"])
def test_the_same_instance_is_replaced(
    plugin: S3Plugin, server: S3Server, bucket: str, tmp_path: Path, policy: str, in_parts: bool
) -> None:
    write(plugin, tmp_path, sample_dataset(**FIRST), policy)
    assert write(plugin, tmp_path, sample_dataset(**AGAIN), policy) == "a/CT.dcm"
    assert names(server, bucket) == ["a/CT.dcm"] and patient(server, bucket, "a/CT.dcm") == "AGAIN"


def test_another_instance_gets_a_key_of_its_own(
    plugin: S3Plugin, server: S3Server, bucket: str, tmp_path: Path, in_parts: bool
) -> None:
    write(plugin, tmp_path, sample_dataset(**FIRST), "replace-same")
    for _ in range(2):  # sent again, it finds its own
        marked = write(plugin, tmp_path, sample_dataset(**OTHER), "replace-same")
    assert marked.startswith("a/CT~") and marked.endswith(".dcm") and len(marked) == len(MARKED)
    assert names(server, bucket) == ["a/CT.dcm", marked]
    assert patient(server, bucket, "a/CT.dcm") == "FIRST" and patient(server, bucket, marked) == "OTHER"


def test_an_object_that_is_not_dicom_stays(plugin: S3Plugin, server: S3Server, bucket: str, tmp_path: Path) -> None:
    for number, data in enumerate((b"", b"notes", b"\0" * 128 + b"DICM\x02\x00")):
        server.client.put_object(Bucket=bucket, Key=f"site/{number}", Body=data)
        assert write(plugin, tmp_path, sample_dataset(**FIRST), "replace-same", str(number)) != str(number)
        assert server.read(bucket, f"site/{number}") == data


def test_rename(plugin: S3Plugin, server: S3Server, bucket: str, tmp_path: Path, in_parts: bool) -> None:
    for dataset in (FIRST, OTHER, AGAIN, OTHER):
        write(plugin, tmp_path, sample_dataset(**dataset), "rename", "CT.1.2.3")
    assert names(server, bucket) == ["CT.1.2.3", "CT.1.2.3~2", "CT.1.2.3~3"]


@pytest.mark.parametrize(("policy", "status"), [("refuse", 0x0111), ("keep", 0x0111), ("retry", 0xA700)])
def test_another_content_is_refused(
    plugin: S3Plugin, server: S3Server, bucket: str, tmp_path: Path, policy: str, status: int, in_parts: bool
) -> None:
    write(plugin, tmp_path, sample_dataset(**FIRST), policy)
    with pytest.raises(NameTakenError) as caught:
        write(plugin, tmp_path, sample_dataset(**AGAIN), policy)
    assert caught.value.status == status
    assert names(server, bucket) == ["a/CT.dcm"] and patient(server, bucket, "a/CT.dcm") == "FIRST"


def test_an_object_that_changes_meanwhile_is_looked_at_again(
    plugin: S3Plugin, server: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_parts: bool
) -> None:
    """Between the look and the replacement another instance gets the key: it is not replaced."""
    write(plugin, tmp_path, sample_dataset(**FIRST), "replace-same")
    kind = upload.PartsUpload if in_parts else upload.WholeUpload
    replace = kind.replace
    changed: list[str] = []

    async def too_late(self: Any, key: str, *arguments: Any) -> bool:
        if not changed:
            changed.append(key)
            with fake_instance(sample_dataset(**OTHER)).open() as file:
                server.client.put_object(Bucket=bucket, Key=key, Body=file.read())
        return await replace(self, key, *arguments)

    monkeypatch.setattr(kind, "replace", too_late)
    assert write(plugin, tmp_path, sample_dataset(**AGAIN), "replace-same") != "a/CT.dcm"
    assert changed and patient(server, bucket, "a/CT.dcm") == "OTHER"


def test_without_conditions(
    unconditional: S3Plugin, server: S3Server, bucket: str, tmp_path: Path, in_parts: bool
) -> None:
    for dataset in (FIRST, AGAIN, OTHER):
        write(unconditional, tmp_path, sample_dataset(**dataset), "replace-same")
    assert len(names(server, bucket)) == 2 and patient(server, bucket, "a/CT.dcm") == "AGAIN"


def test_command_and_data_set_disagree(plugin: S3Plugin, server: S3Server, bucket: str, tmp_path: Path) -> None:
    """Then the objects do not tell two instances apart: the command's UID does, in the key."""
    for command, name in (("5.1", "FIRST"), ("5.2", "OTHER"), ("5.2", "AGAIN")):
        instance = fake_instance(sample_dataset(SOPInstanceUID="1.2.3", PatientName=name), output_directory=tmp_path)
        instance.sop_instance_uid = command
        instance.on_exists = "replace-same"
        plugin.write(instance, f"{tmp_path}/CT.dcm")
    found = names(server, bucket)
    assert len(found) == 2 and [patient(server, bucket, each) for each in found] == ["FIRST", "AGAIN"]
