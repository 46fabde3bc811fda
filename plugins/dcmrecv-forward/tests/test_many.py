"""Two thousand instances to Orthanc, to DCMTK's dcmrecv and to a destination that never answers, while a peer, the
delivery processes and the receiver itself are killed."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from peers import SECONDS, Peers
from pydicom import dcmread

from dcmrecv_core.testing import Receiver, fake_event, sample_dataset, until
from dcmrecv_forward.association import Association
from dcmrecv_forward.connection import Peer
from dcmrecv_forward.stored import opened, read_meta

COUNT = 2000
STUDIES = 40
CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"

SETTINGS = """
plugin = ["forward"]
[[plugins.forward.destinations]]
name = "orthanc"
kind = "dimse"
host = "127.0.0.1"
port = {orthanc}
called = "ORTHANC"
[[plugins.forward.destinations]]
name = "dcmrecv"
kind = "dimse"
host = "127.0.0.1"
port = {dcmrecv}
called = "DCMRECV"
[[plugins.forward.destinations]]
name = "silent"
kind = "dimse"
host = "127.0.0.1"
port = {silent}
called = "SILENT"
timeout = 1
"""


def data_sets() -> dict[str, bytes]:
    """Encoded, by SOP Instance UID; UIDs of equal length are exchanged in the bytes of one."""
    with opened(fake_event(sample_dataset(SOPInstanceUID="1.2.3.1000", StudyInstanceUID="1.2.4.10"))) as file:
        file.seek(read_meta(file).offset)
        first = file.read()
    made = {}
    for number in range(1000, 1000 + COUNT):
        study = b"1.2.4.%d" % (10 + number % STUDIES)
        made[f"1.2.3.{number}"] = first.replace(b"1.2.3.1000", b"1.2.3.%d" % number).replace(b"1.2.4.10", study)
    return made


def send(port: int, instances: dict[str, bytes]) -> None:
    association = Association(Peer("127.0.0.1", port, "ROUTER", "CT1", SECONDS), [(CT, EXPLICIT)])
    for uid, data in instances.items():
        response = association.store(1, CT, uid, io.BytesIO(data), len(data))
        assert response.status == 0, response
    association.release()


def queues(receiver: Receiver) -> dict[str, Any]:
    """What `dcmrecvctl queue list` says."""
    command = [Path(sys.executable).with_name("dcmrecvctl"), "--state-dir", receiver.output / ".dcmrecv"]
    done = subprocess.run([*command, "queue", "list", "--json"], capture_output=True, timeout=SECONDS, check=True)
    listed = json.loads(done.stdout)
    assert listed["put_aside"] == []
    return {each["queue"]: each for each in listed["queues"]}


@pytest.mark.timeout(240)
def test_nothing_is_missing(peers: Peers, tmp_path: Path) -> None:
    orthanc, dcmrecv = peers.orthanc(), peers.dcmrecv("--bit-preserving")
    instances = data_sets()
    halves = [dict(list(instances.items())[start::2]) for start in (0, 1)]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ports = {"orthanc": orthanc.port, "dcmrecv": dcmrecv.port, "silent": silent.getsockname()[1]}
        (tmp_path / "router.toml").write_text(SETTINGS.format(**ports))
        arguments = ("-pm", "--no-fsync", "--settings", tmp_path / "router.toml")

        receiver = Receiver(tmp_path / "router", *arguments)
        try:
            send(receiver.port, halves[0])
            until(lambda: len(dcmrecv.files()) > 100, "the first are there", 60, lambda: receiver.log)
            dcmrecv.kill()
            receiver.wait_for_log("destination dcmrecv is down, instances for it wait: ")
            dcmrecv.start()
            until(lambda: len(dcmrecv.files()) > 400, "more are there", 60, lambda: receiver.log)
            found = re.findall(r"delivery process of forward/\w+: started \(process (\d+)\)", receiver.log)
            assert len(found) == 3, receiver.log
            for pid in found:
                os.kill(int(pid), signal.SIGKILL)
            until(lambda: len(dcmrecv.files()) > 600, "more are there", 60, lambda: receiver.log)
        finally:
            receiver.kill()

        receiver = Receiver(tmp_path / "router", *arguments)
        try:
            send(receiver.port, halves[1])
            until(lambda: len(dcmrecv.files()) == COUNT, "all are at dcmrecv", 100, lambda: receiver.log)
            until(lambda: len(orthanc.instances()) == COUNT, "all are at Orthanc", 100, lambda: receiver.log)
            waiting = {"forward/orthanc": 0, "forward/dcmrecv": 0, "forward/silent": COUNT}
            until(
                lambda: {name: each["waiting"] for name, each in queues(receiver).items()} == waiting,
                "only what waits for the silent one is listed",
                log=lambda: receiver.log,
            )
            assert receiver.log.count("destination silent is down") == 1
            assert receiver.stop() == 0
        finally:
            receiver.kill()

    assert orthanc.instances() == instances.keys()
    received = {}
    for path in dcmrecv.files():
        with path.open("rb") as file:
            stored = read_meta(file)
            file.seek(stored.offset)
            received[str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)] = file.read()
    assert received == instances
