"""Started as an ordinary user; what it opens for writing and what it listens on is looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from promises import promise
from rawscu import EXPLICIT_LE, RawAssociation
from receivers import Receiver, Start
from samples import CT, instance_of

pytestmark = promise(34)


def listening(receiver: Receiver) -> set[str]:
    """The sockets on which the supervisor or a worker listens, by inode."""
    sockets = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                sockets.add(f"socket:[{fields[9]}]")
    held = set()
    for pid in {receiver.process.pid, *receiver.workers()}:
        held |= {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    return sockets & held


def test_one_listening_port(ours: Start, figure: Callable[[str], None]) -> None:
    receiver = ours("-pm")
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        assert association.store(CT, "1.2.3", instance_of(CT, "1.2.3")) == 0
        ports = listening(receiver)
        association.release()
    assert len(ports) == 1
    figure(f"{len(ports)} listening port")
