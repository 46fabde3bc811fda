"""What other plugins do with locations in a bucket: forward, index, what storage commitment compares, studies."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from servers import Server

from dcmrecv_core.testing import StartReceiver, deliver_all, sample_dataset

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
    start_receiver: StartReceiver, server: Server, bucket: str, tmp_path: Path
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
