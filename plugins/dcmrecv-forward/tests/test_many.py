"""Two thousand instances to Orthanc, to DCMTK's dcmrecv and to a destination that never answers, while a peer, the
delivery processes and the receiver itself are killed."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path

import pytest
from crowd import data_sets, queues, send
from peers import Peers
from pydicom import dcmread

from dcmrecv_core.testing import Receiver, until
from dcmrecv_forward.stored import read_meta

COUNT = 2000
STUDIES = 40
LONGEST = 200.0
"""Seconds for each step."""

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


@pytest.mark.timeout(600)
def test_nothing_is_missing(peers: Peers, tmp_path: Path) -> None:
    orthanc, dcmrecv = peers.orthanc(), peers.dcmrecv("--bit-preserving")
    instances = dict(data_sets(COUNT, STUDIES))
    halves = [dict(list(instances.items())[start::2]) for start in (0, 1)]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ports = {"orthanc": orthanc.port, "dcmrecv": dcmrecv.port, "silent": silent.getsockname()[1]}
        (tmp_path / "router.toml").write_text(SETTINGS.format(**ports))
        arguments = ("-pm", "--no-fsync", "--settings", tmp_path / "router.toml")

        receiver = Receiver(tmp_path / "router", *arguments)
        try:
            first = list(halves[0].items())
            send(receiver.port, first[:500])
            until(lambda: len(dcmrecv.files()) > 100, "the first are there", LONGEST, lambda: receiver.log)
            dcmrecv.kill()
            send(receiver.port, first[500:])
            receiver.wait_for_log("destination dcmrecv is down, instances for it wait: ")
            dcmrecv.start()
            until(lambda: len(dcmrecv.files()) > 400, "more are there", LONGEST, lambda: receiver.log)
            found = re.findall(r"delivery process of forward/\w+: started \(process (\d+)\)", receiver.log)
            assert len(found) == 3, receiver.log
            for pid in found:
                os.kill(int(pid), signal.SIGKILL)
            until(lambda: len(dcmrecv.files()) > 600, "more are there", LONGEST, lambda: receiver.log)
        finally:
            receiver.kill()

        receiver = Receiver(tmp_path / "router", *arguments)
        try:
            send(receiver.port, halves[1].items())
            until(lambda: len(dcmrecv.files()) == COUNT, "all are at dcmrecv", LONGEST, lambda: receiver.log)
            until(lambda: len(orthanc.instances()) == COUNT, "all are at Orthanc", LONGEST, lambda: receiver.log)
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
