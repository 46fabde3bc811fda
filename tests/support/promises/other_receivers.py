"""Other receivers in the same tests as ours: DCMTK dcmrecv and storescp, pynetdicom's storescp."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from support.programs.receivers import Receiver, start_on_port, start_original, system_program

PEERS = ("dcmrecv", "storescp", "pynetdicom")


class Peer(NamedTuple):
    """A receiver that is not ours; `does` records a text for docs/reliability.md."""

    name: str
    receiver: Receiver
    does: Callable[[str], None]


def start_peer(name: str, directory: Path, config: Path) -> Receiver:
    """With names from UIDs, bit-preserving if it can, and all storage classes of `config`."""
    home = directory / name
    home.mkdir()
    if name == "dcmrecv":
        return start_original(home, "-xf", config, "default", "+B")
    env = {**os.environ, "TCP_NODELAY": "1"}
    if name == "storescp":
        command = [system_program("storescp"), "-dhl", "-od", "out", "+B"]
        return start_on_port(home, *command, clean_exit=-signal.SIGTERM, env=env)
    return start_on_port(home, sys.executable, "-m", "pynetdicom", "storescp", "-od", "out", clean_exit=0, env=env)
