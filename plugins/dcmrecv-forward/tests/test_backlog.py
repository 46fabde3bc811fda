"""What waits for a destination that is down survives SIGKILL of the receiver, and all of it arrives at last.

2 000 instances; `tox -e endurance` has 100 000.
"""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from peers import SECONDS, Peers, free_port
from wire import CT, EXPLICIT, store_all

from dcmrecv_core.testing import Receiver, fake_event, sample_dataset, until
from dcmrecv_forward.association import Association
from dcmrecv_forward.connection import Peer
from dcmrecv_forward.stored import opened, read_meta

COUNT = int(os.environ.get("FORWARD_BACKLOG", "2000"))
STUDIES = 100
DEADLINE = 60 + COUNT / 50
"""Seconds for each of sending, listing and arriving; slow machines under load included."""

SETTINGS = """
plugin = ["forward"]
[[plugins.forward.destinations]]
name = "A"
kind = "dimse"
host = "127.0.0.1"
port = {port}
called = "A"
"""


def send(port: int) -> set[str]:
    """`COUNT` instances, in data sets that differ in UIDs of equal length; returns those."""
    with opened(fake_event(sample_dataset(SOPInstanceUID="1.2.3.1000000", StudyInstanceUID="1.2.4.100"))) as file:
        file.seek(read_meta(file).offset)
        first = file.read()
    association = Association(Peer("127.0.0.1", port, "ROUTER", "CT1", SECONDS), [(CT, EXPLICIT)])
    uids = set()
    for number in range(COUNT):
        uid, study = f"1.2.3.{1_000_000 + number}", b"1.2.4.%d" % (100 + number % STUDIES)
        data = first.replace(b"1.2.3.1000000", uid.encode()).replace(b"1.2.4.100", study)
        assert association.store(1, CT, uid, io.BytesIO(data), len(data)).status == 0
        uids.add(uid)
    association.release()
    return uids


def waiting(receiver: Receiver) -> int:
    command = [Path(sys.executable).with_name("dcmrecvctl"), "--state-dir", receiver.output / ".dcmrecv"]
    done = subprocess.run([*command, "queue", "list", "--json"], capture_output=True, timeout=SECONDS, check=True)
    [queue] = json.loads(done.stdout)["queues"]
    assert queue["queue"] == "forward/A" and not queue["put_aside"]
    return int(queue["waiting"])


@pytest.mark.timeout(60 + 4 * DEADLINE)
def test_a_backlog_survives(peers: Peers, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "router.toml").write_text(SETTINGS.format(port=port))
    arguments = ("-q", "-pm", "--no-fsync", "--settings", tmp_path / "router.toml")

    receiver = Receiver(tmp_path / "router", *arguments)
    try:
        sent = send(receiver.port)
    finally:
        receiver.kill()

    receiver = Receiver(tmp_path / "router", *arguments)
    try:
        until(lambda: waiting(receiver) == COUNT, "all are listed", DEADLINE, lambda: receiver.log)
        receiver.kill()
        receiver = Receiver(tmp_path / "router", *arguments)
        assert waiting(receiver) == COUNT
        stored: set[str] = set()

        def store(connection: socket.socket) -> None:
            store_all(connection, stored)

        peers.script(store, port=port)
        until(lambda: len(stored) == COUNT, "all are there", DEADLINE, lambda: f"{len(stored)}\n{receiver.log}")
        until(lambda: waiting(receiver) == 0, "nothing waits", log=lambda: receiver.log)
        assert stored == sent
        assert receiver.stop() == 0
    finally:
        receiver.kill()
