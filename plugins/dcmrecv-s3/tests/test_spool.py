"""`--s3-spool`: Success after a durable copy, the upload in the background."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from servers import Server, options

from dcmrecv_core.testing import Receiver, StartReceiver, deliver_all, sample_dataset

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


def spooled(receiver: Receiver) -> list[str]:
    return sorted(os.listdir(receiver.output / "spool"))


def test_the_event_has_the_place_in_the_bucket(
    start_receiver: StartReceiver, server: Server, bucket: str, told: Path
) -> None:
    receiver = start_receiver(*options(server.endpoint, bucket, "--s3-spool", "spool", "--plugin", told))
    sent = [sample_dataset(SOPInstanceUID=f"1.2.3.{number}") for number in range(3)]
    assert receiver.send(*sent) == [0] * 3
    assert deliver_all(receiver) == []
    keys = [f"site/CT.1.2.3.{number}" for number in range(3)]
    assert server.keys(bucket) == keys
    expected = [f"s3://{bucket}/{key} {len(server.read(bucket, key))}" for key in keys]
    assert (receiver.output / "told").read_text().splitlines() == expected
    assert (receiver.output / "studies").read_text() == f"1 {' '.join(f's3://{bucket}/{key}' for key in keys)}\n"
    assert spooled(receiver) == []
