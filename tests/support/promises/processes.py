"""Memory, descriptors and zombies of processes; unread bytes of a socket."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.programs.receivers import Receiver

MEGABYTE = 1 << 20


def proportional_set_size(pid: int) -> int:
    """PSS in bytes: private memory and the process's part of shared memory."""
    [kilobytes] = re.findall(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(kilobytes) * 1024


@contextmanager
def watched(pid: int) -> Iterator[list[int]]:
    """Samples of the process's PSS until the body ends, one each 20 ms."""
    sizes = [proportional_set_size(pid)]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            sizes.append(proportional_set_size(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sizes
    finally:
        over.set()
        thread.join()


def own_memory(pid: int) -> int:
    """Anonymous memory in bytes, shared or not, because private memory changes when other processes end. ValueError if
    the process is a zombie."""
    [kilobytes] = re.findall(r"^RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(kilobytes) * 1024


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def zombies(receiver: Receiver) -> set[int]:
    """Children that have ended and were not waited for."""
    found = set()
    for pid in receiver.workers():
        try:
            if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
                found.add(pid)
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
    return found


def unread(receiver: Receiver, port: int) -> int:
    """Bytes from local port `port` that the receiver has not read yet."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if (int(fields[1][-4:], 16), int(fields[2][-4:], 16)) == (receiver.port, port):
            return int(fields[4].split(":")[1], 16)
    return 0
