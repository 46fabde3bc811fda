"""The supervisor is killed (SIGKILL) while four senders store, on a memory file system: no kill ends a process that
waits for a disk. Its workers must end soon, its port must be free within a second, and all acknowledged instances must
be there, those of the last moment included.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from pathlib import Path

from dcmrecv_core.testing import until
from support.programs.receivers import Start, is_free, reserved_port
from support.promises.promises import promise
from support.promises.senders import check, sending
from support.promises.volumes import mounted, remount

pytestmark = promise(5)

WITHIN = 5.0
PORT_WITHIN = 1.0
"""Workers have copies of the listening socket, and the kernel needs a moment to end them."""


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_killed_supervisor(
    ours: Start, directory: Path, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    chance = random.Random(5)
    rounds = count(3, 30)
    longest = longest_bound = 0.0
    stored = 0
    disk = directory / "disk"
    disk.mkdir()
    for _ in range(rounds):
        with mounted(disk, "1g"), reserved_port() as kept:  # kept from connections of others when it is free
            remount(disk, "nr_inodes=100000")
            port = kept.getsockname()[1]
            with socket.create_server(("127.0.0.1", port), backlog=512) as listener:
                receiver = ours("-pm", "-od", disk, listener=listener)
            with sending(port, 4) as senders:
                time.sleep(chance.uniform(0, 0.1))
                workers = receiver.workers()
                receiver.kill()
                start = time.monotonic()
                until(lambda port=port: is_free(port), "the port is free", PORT_WITHIN)
                longest_bound = max(longest_bound, time.monotonic() - start)
                until(lambda workers=workers: not any(map(is_alive, workers)), "the workers end", WITHIN)
                longest = max(longest, time.monotonic() - start)
            acknowledged, _ = check(senders, disk)
            stored += acknowledged
    figure(
        f"{rounds} kills: workers gone after {longest:.1f} s at most, port free after {longest_bound:.1f} s, "
        f"0 of {stored} lost"
    )
