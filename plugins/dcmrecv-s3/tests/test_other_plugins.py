"""What other plugins do with locations in a bucket: forward, index, storage commitment, studies."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pydicom import dcmread

from dcmrecv_core.testing import StartReceiver, deliver_all, sample_dataset
from support.servers.requestor import Requestor, asking_for, request
from support.servers.s3_server import S3Server

COMPARING = """
from dcmrecv_core import examine_stored, hookimpl

dcmrecv_digest = True

@hookimpl
def configure(settings):
    global place
    place = settings.output_directory

def compare(event):
    with event.open() as file:
        found = examine_stored(file)
    assert (found.digest, found.size) == (event.digest, event.size), event
    return event.location

@hookimpl
def deliver(event, target):
    with open(place + "/compared", "a") as file:
        print(compare(event), file=file)

@hookimpl
def study_completed(study):
    with open(place + "/studies", "a") as file:
        print(*map(compare, study.instances), file=file)
"""


def test_forward_index_and_comparisons(
    start_receiver: StartReceiver, server: S3Server, bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "copies").mkdir()
    (tmp_path / "comparing.py").write_text(COMPARING)
    (tmp_path / "settings.toml").write_text(
        f"""
        promiscuous = true
        plugin = ["s3", "forward", "index", "{tmp_path}/comparing.py"]
        [plugins.s3]
        s3_url = "s3://{bucket}"
        s3_endpoint = "{server.endpoint}"
        [[plugins.forward.destinations]]
        name = "copies"
        kind = "folder"
        path = "{tmp_path}/copies"
        when = {{ StationName = "ROOM1" }}
        """
    )
    receiver = start_receiver("--settings", tmp_path / "settings.toml")
    sent = [sample_dataset(SOPInstanceUID=f"1.2.3.{number}", StationName="ROOM1") for number in range(3)]
    assert receiver.send(*sent) == [0] * 3
    assert deliver_all(receiver) == []
    locations = [f"s3://{bucket}/CT.1.2.3.{number}" for number in range(3)]
    copies = {path.read_bytes() for path in (tmp_path / "copies").rglob("*") if path.is_file()}
    assert copies == {server.read(bucket, key) for key in server.keys(bucket)} and len(copies) == 3
    assert sorted((receiver.output / "compared").read_text().split()) == locations
    assert sorted((receiver.output / "studies").read_text().split()) == locations
    with closing(sqlite3.connect(receiver.state_directory / "index.sqlite")) as index:
        assert index.execute("SELECT location FROM instances ORDER BY location").fetchall() == [
            (location,) for location in locations
        ]


def ask(port: int, requestor: Requestor, transaction_uid: str, *uids: str) -> tuple[set[str], dict[str, int]]:
    """The instances that a receiver commits itself to, and the others with the reason."""
    assert request(port, asking_for(transaction_uid, *uids)).Status == 0
    report = requestor.report()
    return {uid for _, uid in report.committed}, {uid: reason for (_, uid), reason in report.failed.items()}


@pytest.fixture
def requestor() -> Iterator[Requestor]:
    made = Requestor()
    yield made
    made.end()


def test_storage_commitment_index_and_another_archive(
    start_receiver: StartReceiver, server: S3Server, bucket: str, tmp_path: Path, requestor: Requestor
) -> None:
    """With a spool. What is asked for at once is committed to when it is in the bucket; later, what is still there."""
    archive = start_receiver("-pm", "+B")
    (tmp_path / "settings.toml").write_text(
        f"""
        promiscuous = true
        plugin = ["s3", "forward", "index", "commitment"]
        [plugins.s3]
        s3_url = "s3://{bucket}"
        s3_endpoint = "{server.endpoint}"
        s3_spool = "spool"
        [[plugins.forward.destinations]]
        name = "archive"
        kind = "dimse"
        host = "127.0.0.1"
        port = {archive.port}
        called = "ARCHIVE"
        [[plugins.commitment.peers]]
        title = "CT1"
        host = "127.0.0.1"
        port = {requestor.port}
        """
    )
    receiver = start_receiver("--settings", tmp_path / "settings.toml")
    uids = [f"1.2.3.{number}" for number in range(3)]
    assert receiver.send(*(sample_dataset(SOPInstanceUID=uid) for uid in uids)) == [0] * 3
    assert ask(receiver.port, requestor, "9.1", *uids, "1.2.3.9") == (set(uids), {"1.2.3.9": 0x0112})
    assert deliver_all(receiver) == []
    with closing(sqlite3.connect(receiver.state_directory / "index.sqlite")) as index:
        rows = index.execute("SELECT location, digest IS NOT NULL FROM instances ORDER BY location").fetchall()
    assert rows == [(f"s3://{bucket}/CT.{uid}", 1) for uid in uids]
    assert sorted(archive.files()) == [f"CT.{uid}" for uid in uids]
    for uid in uids:
        assert dcmread(archive.output / f"CT.{uid}") == dcmread(io.BytesIO(server.read(bucket, f"CT.{uid}")))
    server.client.delete_object(Bucket=bucket, Key=f"CT.{uids[0]}")
    damaged = bytearray(server.read(bucket, f"CT.{uids[1]}"))
    damaged[-1] ^= 1
    server.client.put_object(Bucket=bucket, Key=f"CT.{uids[1]}", Body=bytes(damaged))
    assert ask(receiver.port, requestor, "9.2", *uids) == ({uids[2]}, {uids[0]: 0x0112, uids[1]: 0x0110})
