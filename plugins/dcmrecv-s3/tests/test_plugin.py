"""The plugin in a receiver: what is acknowledged is in the bucket, what cannot be stored is refused with the reason."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom import dcmread
from servers import Misbehaving, options, refuse

from dcmrecv_core import PluginError, StorageError
from dcmrecv_core.testing import (
    StartReceiver,
    deliver_all,
    fake_instance,
    fake_settings,
    sample_dataset,
    until,
)
from dcmrecv_s3 import S3Plugin
from support.programs.receivers import reserved_port
from support.servers.s3_server import S3Server

READER = """
from dcmrecv_core import hookimpl

@hookimpl
def configure(settings):
    global kept
    kept = settings

@hookimpl
def deliver(event, target):
    with event.open() as file:
        data = file.read()
        file.fileno()
    with open(kept.output_directory + "/read-" + event.sop_instance_uid, "wb") as copy:
        copy.write(data)
    with open(kept.output_directory + "/locations", "a") as locations:
        print(event.location, file=locations)
    if event.sop_instance_uid == "1.2.3.9":
        assert kept.remove_location(event.location) is True
        try:
            event.open()
        except FileNotFoundError:
            print("gone", file=open(kept.output_directory + "/gone", "w"))
"""


def test_an_acknowledged_instance_is_in_the_bucket(
    start_receiver: StartReceiver, server: S3Server, bucket: str
) -> None:
    receiver = start_receiver(*options(server.endpoint, bucket))
    sent = [sample_dataset(SOPInstanceUID=f"1.2.3.{number}") for number in range(3)]
    assert receiver.send(*sent) == [0] * 3
    assert server.keys(bucket) == [f"site/CT.1.2.3.{number}" for number in range(3)]
    for dataset in sent:
        stored = dcmread(io.BytesIO(server.read(bucket, f"site/CT.{dataset.SOPInstanceUID}")))
        assert stored == dataset
        assert stored.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert receiver.files() == []
    assert max(map(threads, until(receiver.workers, "workers"))) == 2, "obstore has one beside the worker's own"


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def test_keys_are_the_names_that_hooks_chose(start_receiver: StartReceiver, server: S3Server, bucket: str) -> None:
    layout = "{PatientID}/{SOPInstanceUID}.dcm"
    receiver = start_receiver(*options(server.endpoint, bucket, "--layout", layout))
    assert receiver.send(sample_dataset(PatientID="Ä #1", SOPInstanceUID="1.2.3")) == [0]
    [key] = server.keys(bucket)
    assert key.startswith("site/") and key.endswith("/1.2.3.dcm") and key.count("/") == 2


def test_a_server_can_verify_what_it_gets(start_receiver: StartReceiver, misbehaving: Misbehaving) -> None:
    receiver = start_receiver(*options(misbehaving.endpoint, "bucket", "--s3-unconditional"))
    assert receiver.send(sample_dataset(SOPInstanceUID="1.2.3")) == [0]
    [(path, data)] = misbehaving.objects.items()
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    assert misbehaving.checksums[path] == digest
    misbehaving.answer = refuse("BadDigest", 400)
    [status] = receiver.send(sample_dataset(SOPInstanceUID="1.2.3"))
    assert (status, status.comment) == (0xA700, "S3: the server says BadDigest")


def test_events_open_and_remove_what_is_stored(
    start_receiver: StartReceiver, server: S3Server, bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "reader.py").write_text(READER)
    receiver = start_receiver(*options(server.endpoint, bucket, "--plugin", tmp_path / "reader.py"))
    assert receiver.send(*(sample_dataset(SOPInstanceUID=f"1.2.3.{number}") for number in (8, 9))) == [0, 0]
    assert deliver_all(receiver) == []
    assert server.keys(bucket) == ["site/CT.1.2.3.8"]
    assert (receiver.output / "read-1.2.3.8").read_bytes() == server.read(bucket, "site/CT.1.2.3.8")
    assert (receiver.output / "gone").exists()
    locations = (receiver.output / "locations").read_text().splitlines()
    assert locations == [f"s3://{bucket}/site/CT.1.2.3.{number}" for number in (8, 9)]


def test_a_bucket_that_is_missing(start_receiver: StartReceiver, server: S3Server) -> None:
    """It is said at the start; each instance is refused until the bucket is there, without a new start."""
    receiver = start_receiver(*options(server.endpoint, "missing-bucket"))
    assert "s3://missing-bucket/site/ cannot be used now" in receiver.log
    [status] = receiver.send(sample_dataset(SOPInstanceUID="1.2.3"))
    assert (status, status.comment) == (0xA700, "S3: bucket missing-bucket does not exist")
    server.make_bucket("missing-bucket")
    assert receiver.send(sample_dataset(SOPInstanceUID="1.2.3")) == [0]
    assert server.keys("missing-bucket") == ["site/CT.1.2.3"]


def test_a_server_that_is_not_there(start_receiver: StartReceiver) -> None:
    with reserved_port() as down:
        endpoint = f"http://127.0.0.1:{down.getsockname()[1]}"
        receiver = start_receiver(*options(endpoint, "bucket", "--s3-timeout", 2))
        [status] = receiver.send(sample_dataset())
    assert (status, status.comment) == (0xA700, "S3: cannot connect to the server")


def test_wrong_credentials(start_receiver: StartReceiver, misbehaving: Misbehaving) -> None:
    misbehaving.answer = refuse("InvalidAccessKeyId", 403)
    receiver = start_receiver(*options(misbehaving.endpoint, "bucket"))
    [status] = receiver.send(sample_dataset())
    assert (status, status.comment) == (0xA700, "S3: the server says InvalidAccessKeyId")


def test_a_server_that_does_not_answer(start_receiver: StartReceiver, misbehaving: Misbehaving) -> None:
    """An instance is refused after the time limit, also if the server fails later; the association goes on."""
    receiver = start_receiver(*options(misbehaving.endpoint, "bucket", "--s3-timeout", 3, "--s3-unconditional"))
    assert receiver.send(sample_dataset()) == [0]
    misbehaving.answer = misbehaving.hang
    before = time.monotonic()
    first, second = receiver.send(sample_dataset(), sample_dataset(SOPInstanceUID="1.2.3"))
    assert time.monotonic() - before < 35
    assert (first, first.comment) == (second, second.comment) == (0xA700, "S3: no answer within 3 s")
    misbehaving.answer = None
    assert receiver.send(sample_dataset()) == [0]


def test_a_receiver_ends_while_a_server_does_not_answer(
    start_receiver: StartReceiver, misbehaving: Misbehaving
) -> None:
    """After the time limit of the upload, which blocks; the sender is told that the instance is not stored."""
    more = ("--s3-timeout", 3, "--s3-unconditional", "--on-duplicate", "overwrite")
    receiver = start_receiver(*options(misbehaving.endpoint, "bucket", *more))
    assert receiver.send(sample_dataset()) == [0]
    misbehaving.answer = misbehaving.hang
    asked = misbehaving.asked
    with ThreadPoolExecutor(1) as sender:
        sending = sender.submit(receiver.send, sample_dataset())
        until(lambda: misbehaving.asked > asked, "a request")
        assert receiver.stop() == 0
        [status] = sending.result(60)
    assert (status, status.comment) == (0xA700, "S3: no answer within 3 s")


def test_a_server_that_ignores_conditions_is_refused(start_receiver: StartReceiver, misbehaving: Misbehaving) -> None:
    with pytest.raises(AssertionError, match=r"ignores conditions \(If-None-Match\); --s3-unconditional"):
        start_receiver(*options(misbehaving.endpoint, "bucket"))
    assert misbehaving.objects == {}
    receiver = start_receiver(*options(misbehaving.endpoint, "bucket", "--s3-unconditional"))
    assert receiver.send(sample_dataset(SOPInstanceUID="1.2.3")) == [0]
    assert list(misbehaving.objects) == ["/bucket/site/CT.1.2.3"]


def test_a_reload_refuses_such_a_server(
    start_receiver: StartReceiver, misbehaving: Misbehaving, server: S3Server, bucket: str, tmp_path: Path
) -> None:
    path = tmp_path / "settings.toml"
    text = f'promiscuous = true\nplugin = ["s3"]\n[plugins.s3]\ns3_url = "s3://{bucket}"\ns3_endpoint = '
    path.write_text(f'{text}"{server.endpoint}"\n')
    receiver = start_receiver("--settings", path)
    path.write_text(f'{text}"{misbehaving.endpoint}"\n')
    with pytest.raises(AssertionError, match=r"settings not reloaded.*ignores conditions"):
        receiver.reload()
    assert receiver.send(sample_dataset(SOPInstanceUID="1.2.3")) == [0]
    assert server.keys(bucket) == ["CT.1.2.3"] and not misbehaving.objects


def test_the_supervisor_does_not_wait_for_a_server_at_a_reload(misbehaving: Misbehaving, tmp_path: Path) -> None:
    made = S3Plugin()
    options = {"s3_url": "s3://first", "s3_endpoint": misbehaving.endpoint, "s3_timeout": 20, "s3_unconditional": True}
    made.configure(fake_settings(made, options=options, output_directory=str(tmp_path)))
    options["s3_unconditional"] = False
    with pytest.raises(PluginError, match="ignores conditions"):
        made.configure(fake_settings(made, options=options, output_directory=str(tmp_path)))
    asked = misbehaving.asked
    made.configure(fake_settings(made, options={**options, "s3_url": "s3://second"}, output_directory=str(tmp_path)))
    assert misbehaving.asked == asked
    with pytest.raises(StorageError, match="ignores conditions"):
        made.write(fake_instance(sample_dataset(), output_directory=tmp_path), f"{tmp_path}/a")
    made.worker_stopping()


def test_conditions_are_tried_later_if_the_server_was_down_at_the_start(
    start_receiver: StartReceiver, misbehaving: Misbehaving
) -> None:
    misbehaving.answer = refuse("SlowDown", 503)
    receiver = start_receiver(*options(misbehaving.endpoint, "bucket"))
    misbehaving.answer = None
    [status] = receiver.send(sample_dataset())
    assert (status, status.comment) == (0xA700, "S3: the server ignores conditions (If-None-Match)")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "--s3-url says where to store"),
        (("--s3-url", "http://bucket/"), "s3://BUCKET or s3://BUCKET/PREFIX expected"),
        (("--s3-url", "s3://bucket/a//b"), "empty part"),
        (("--s3-url", "s3://bucket", "--s3-endpoint", "s3.example.org"), "a URL like https://"),
        (("--s3-url", "s3://bucket", "--s3-timeout", 0), "at least 1 expected"),
    ],
)
def test_settings_that_cannot_be_used(
    start_receiver: StartReceiver, arguments: tuple[object, ...], reason: str
) -> None:
    with pytest.raises(AssertionError, match=reason):
        start_receiver("-pm", "--plugin", "s3", *arguments)
