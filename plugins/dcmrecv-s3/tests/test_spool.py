"""`--s3-spool`: Success after a durable copy, the upload in the background."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from pydicom import dcmread
from servers import Misbehaving, options, refuse

from dcmrecv_core import PluginError, StorageError, StoredEvent
from dcmrecv_core.testing import (
    Receiver,
    StartReceiver,
    deliver_all,
    fake_event,
    fake_instance,
    fake_settings,
    sample_dataset,
    until,
)
from dcmrecv_s3 import S3Plugin
from dcmrecv_s3.spool import Spool, subdirectory
from support.servers.s3_server import S3Server

TOLD = """
from dcmrecv_core import hookimpl

@hookimpl
def configure(settings):
    global place
    place = settings.output_directory

@hookimpl
def deliver(event, target):
    with event.open() as file, open(place + "/told", "a") as told:
        print(event.location, len(file.read()), file=told)

@hookimpl
def study_completed(study):
    with open(place + "/studies", "a") as told:
        print(study.revision, *(event.location for event in study.instances), file=told)
"""


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """A plugin that writes down what it is told."""
    path = tmp_path / "told.py"
    path.write_text(TOLD)
    return path


@pytest.fixture
def plugin(server: S3Server, bucket: str, tmp_path: Path) -> Iterator[S3Plugin]:
    given = {"s3_url": f"s3://{bucket}/site", "s3_endpoint": server.endpoint, "s3_spool": "spool"}
    made = S3Plugin()
    made.configure(fake_settings(made, options=given, output_directory=str(tmp_path)))
    made.worker_started()
    yield made
    made.delivery_stopping()


def write(plugin: S3Plugin, output: Path, uids: dict[str, str], policy: str) -> StoredEvent:
    """Store an instance in the spool, under one name."""
    dataset = sample_dataset(**uids)
    instance = fake_instance(dataset, output_directory=output)
    instance.on_exists = policy  # type: ignore[assignment]
    location = plugin.write(instance, f"{output}/same")
    return fake_event(dataset, output_directory=output, location=location)


def patients(server: S3Server, bucket: str) -> dict[str, str]:
    """Patient's Name by key."""
    return {key: str(dcmread(io.BytesIO(server.read(bucket, key))).PatientName) for key in server.keys(bucket)}


def raising(error: BaseException) -> Callable[..., NoReturn]:
    def function(*_: object) -> NoReturn:
        raise error

    return function


def spooled(receiver: Receiver) -> list[str]:
    return sorted(os.listdir(receiver.output / "spool"))


def wait_for_spool(receiver: Receiver, expected: list[str]) -> None:
    """What is uploaded leaves the spool a moment after its event is done."""
    until(lambda: spooled(receiver) == expected, f"the spool has {expected}", log=lambda: receiver.log)


def test_the_event_has_the_place_in_the_bucket(
    start_receiver: StartReceiver, server: S3Server, bucket: str, told: Path
) -> None:
    receiver = start_receiver(*options(server.endpoint, bucket, "--s3-spool", "spool", "--plugin", told))
    sent = [sample_dataset(SOPInstanceUID=f"1.2.3.{number}") for number in range(3)]
    assert receiver.send(*sent) == [0] * 3
    wait_for_spool(receiver, [])  # deliver_all turns the clock on: the study would be complete before its last upload
    assert deliver_all(receiver) == []
    keys = [f"site/CT.1.2.3.{number}" for number in range(3)]
    assert server.keys(bucket) == keys
    expected = [f"s3://{bucket}/{key} {len(server.read(bucket, key))}" for key in keys]
    assert (receiver.output / "told").read_text().splitlines() == expected
    assert (receiver.output / "studies").read_text() == f"1 {' '.join(f's3://{bucket}/{key}' for key in keys)}\n"


def test_it_is_stored_while_the_server_is_down(
    start_receiver: StartReceiver, misbehaving: Misbehaving, told: Path
) -> None:
    """Nobody is told before it is in the bucket, and no new start is needed."""
    misbehaving.answer = refuse("SlowDown", 503)
    spool = ("--s3-spool", "spool", "--s3-unconditional", "--plugin", told)
    receiver = start_receiver(*options(misbehaving.endpoint, "bucket", *spool))
    assert receiver.send(sample_dataset(SOPInstanceUID="1.2.3")) == [0]
    receiver.wait_for_log("plugin s3: relocate: S3: the server says SlowDown")
    assert [name.endswith(".key") for name in spooled(receiver)] == [False, True]
    assert not (receiver.output / "told").exists()
    misbehaving.answer = None
    assert deliver_all(receiver) == []
    assert list(misbehaving.objects) == ["/bucket/site/CT.1.2.3"]
    assert (receiver.output / "told").read_text().startswith("s3://bucket/site/CT.1.2.3 ")
    wait_for_spool(receiver, [])


def test_what_a_crash_has_left_is_uploaded_by_the_next_start(
    start_receiver: StartReceiver, misbehaving: Misbehaving
) -> None:
    """Also if its record is lost; a file without its key stays, and is listed."""
    misbehaving.answer = refuse("SlowDown", 503)
    arguments = options(misbehaving.endpoint, "bucket", "--s3-spool", "spool", "--s3-unconditional")
    receiver = start_receiver(*arguments)
    sent = [sample_dataset(SOPInstanceUID=f"1.2.3.{number}") for number in range(3)]
    assert receiver.send(*sent) == [0] * 3
    receiver.kill()
    shutil.rmtree(receiver.state_directory)
    without = next((receiver.output / "spool").glob("*.key"))
    missing = f"/bucket/{os.readlink(without).partition('/')[2]}"
    without.unlink()
    misbehaving.answer = None
    again = Receiver(receiver.directory, *arguments)
    try:
        until(lambda: len(misbehaving.objects) == 2, "the others are uploaded", log=lambda: again.log)
        again.wait_for_log("or its key is gone")
        [aside] = deliver_all(again)
        wait_for_spool(again, [without.stem])
    finally:
        again.kill()
    assert f"spool/{without.stem} or its key is gone" in aside
    paths = {f"/bucket/site/CT.1.2.3.{number}" for number in range(3)}
    assert misbehaving.objects.keys() == paths - {missing}


OTHER = {"SOPInstanceUID": "1.2.4", "PatientName": "OTHER"}
FIRST = {"SOPInstanceUID": "1.2.3", "PatientName": "FIRST"}
AGAIN = {"SOPInstanceUID": "1.2.3", "PatientName": "AGAIN"}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("replace-same", {"same": "AGAIN", "same~": "OTHER"}),
        ("overwrite", {"same": "OTHER"}),
        ("rename", {"same": "FIRST", "same~2": "AGAIN", "same~3": "OTHER"}),
        ("refuse", {"same": "FIRST", "same~2": "AGAIN", "same~3": "OTHER"}),
    ],
)
def test_a_key_that_is_taken(
    plugin: S3Plugin, server: S3Server, bucket: str, tmp_path: Path, policy: str, expected: dict[str, str]
) -> None:
    """By the policy, when it is uploaded; what was acknowledged cannot be refused."""
    for uids in (FIRST, AGAIN, OTHER):
        assert plugin.relocate(write(plugin, tmp_path, uids, policy)) is not None
    found = {key.removeprefix("site/"): name for key, name in patients(server, bucket).items()}
    if policy == "replace-same":
        found = {re.sub(r"~[0-9a-f]{8}$", "~", key): name for key, name in found.items()}
    assert found == expected


def test_an_upload_that_is_made_twice(plugin: S3Plugin, server: S3Server, bucket: str, tmp_path: Path) -> None:
    """The process was killed before it could say so: it is one object at one place."""
    for policy in ("replace-same", "rename", "overwrite"):
        event = write(plugin, tmp_path, FIRST, policy)
        assert plugin.relocate(event) == plugin.relocate(event) == f"s3://{bucket}/site/same"
    assert list(patients(server, bucket)) == ["site/same"]


def test_one_that_was_found_replaces_nothing(plugin: S3Plugin, server: S3Server, bucket: str, tmp_path: Path) -> None:
    """A newer one may have come since."""
    old = write(plugin, tmp_path, FIRST, "replace-same")
    plugin.relocate(write(plugin, tmp_path, AGAIN, "replace-same"))
    assert plugin.relocate(replace(old, recovered=True)) == f"s3://{bucket}/site/same~2"
    assert patients(server, bucket) == {"site/same": "AGAIN", "site/same~2": "FIRST"}


def test_what_is_not_in_the_spool_stays(plugin: S3Plugin, tmp_path: Path) -> None:
    assert plugin.relocate(fake_event(location=f"{tmp_path}/another")) is None
    assert plugin.relocate(fake_event(location=f"{tmp_path}/spool/.dcmrecv-1")) is None


def test_another_way_to_the_output_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of an earlier start: `-od .`, for example."""
    monkeypatch.chdir(tmp_path)
    name = "0123456789abcdef" * 2
    assert Spool(f"{tmp_path}/spool").has(f"./spool/{name}")
    assert not Spool(f"{tmp_path}/spool").has(f"./other/{name}")


def test_a_full_spool(plugin: S3Plugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = fake_instance(sample_dataset(**FIRST), output_directory=tmp_path)
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(instance, "save", raising(StorageError("No space left on device")))
    with pytest.raises(StorageError):
        plugin.write(instance, f"{tmp_path}/same")
    assert os.listdir(tmp_path / "spool") == [], "no link is left"
    monkeypatch.setattr(os, "symlink", raising(full))
    with pytest.raises(StorageError, match="No space left on device") as caught:
        plugin.write(instance, f"{tmp_path}/same")
    assert caught.value.status == 0xA700


def test_links_that_workers_have_left_are_removed(plugin: S3Plugin, tmp_path: Path) -> None:
    event = write(plugin, tmp_path, FIRST, "rename")
    for name, age in (("old", 7200), ("young", 0)):
        link = tmp_path / "spool" / f"{name}.key"
        link.symlink_to("rename/site/x")
        os.utime(link, (time.time() - age,) * 2, follow_symlinks=False)
    os.utime(f"{event.location}.key", (0, 0), follow_symlinks=False)
    plugin.delivery_started()
    name = Path(event.location).name
    assert sorted(os.listdir(tmp_path / "spool")) == sorted([name, f"{name}.key", "young.key"])


def test_a_process_that_uploads_may_start_before_the_workers(tmp_path: Path) -> None:
    given = {"s3_url": "s3://bucket", "s3_spool": "spool", "s3_unconditional": True}
    made = S3Plugin()
    made.configure(fake_settings(made, options=given, output_directory=str(tmp_path)))
    made.delivery_started()
    assert os.listdir(tmp_path / "spool") == []


@pytest.mark.parametrize(("spool", "expected"), [("spool", "spool"), ("a/./b/", "a/b"), ("{output}/spool", "spool")])
def test_the_directory(tmp_path: Path, spool: str, expected: str) -> None:
    assert subdirectory(spool.format(output=tmp_path), str(tmp_path)) == expected


@pytest.mark.parametrize("spool", ["", ".", "..", "../spool", "/elsewhere", "{output}"])
def test_a_directory_elsewhere(tmp_path: Path, spool: str) -> None:
    with pytest.raises(PluginError, match="a directory below the output directory expected"):
        subdirectory(spool.format(output=tmp_path), str(tmp_path))
