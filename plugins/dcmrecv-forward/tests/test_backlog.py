"""What waits for a destination that is down survives SIGKILL of the receiver, and all of it arrives at last.

2 000 instances; `tox -e endurance` has 100 000.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from crowd import data_sets, queues, send
from peers import Peers
from wire import store_all

from dcmrecv_core.testing import Receiver, until
from support.programs.receivers import free_port

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


def waiting(receiver: Receiver) -> int:
    [(name, queue)] = queues(receiver).items()
    assert name == "forward/A" and not queue["put_aside"]
    return int(queue["waiting"])


@pytest.mark.timeout(60 + 4 * DEADLINE)
def test_a_backlog_survives(peers: Peers, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "router.toml").write_text(SETTINGS.format(port=port))
    arguments = ("-q", "-pm", "--no-fsync", "--settings", tmp_path / "router.toml")

    receiver = Receiver(tmp_path / "router", *arguments)
    try:
        sent = send(receiver.port, data_sets(COUNT, STUDIES))
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
