"""Receivers with the plugin, and a client of its pages."""

from __future__ import annotations

import http.client
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dcmrecv_core.testing import Receiver, until
from dcmrecv_metrics.server import Server

SOON = 5.0
"""Seconds for what takes less than one on a machine that has nothing else to do."""


def free_address() -> tuple[str, int]:
    """An address of this host that no other program uses, with a port."""
    while True:
        host = f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
        with suppress(OSError), socket.create_server((host, 0)) as listener:
            return host, listener.getsockname()[1]


class Served:
    """The pages of a receiver, which are there once it is made."""

    def __init__(self, receiver: Receiver, host: str, port: int) -> None:
        self.receiver = receiver
        self.host = host
        self.port = port
        until(self.answers, "the pages", log=lambda: receiver.log)

    def answers(self) -> bool:
        with suppress(OSError, http.client.HTTPException):  # it has not begun, or ends
            return self.get("/livez") == (200, "alive\n")
        return False

    def get(self, path: str) -> tuple[int, str]:
        """Status code and body."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def seconds_until(self, condition: Callable[[tuple[int, str]], bool]) -> float:
        """Seconds until what `/readyz` answers is so."""
        begun = time.monotonic()
        until(lambda: condition(self.get("/readyz")), "another answer", log=lambda: str(self.get("/readyz")))
        return time.monotonic() - begun


@contextmanager
def running(server: Server) -> Iterator[None]:
    """The server in a thread."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(10)


def start(start_receiver: Callable[..., Receiver], *arguments: object, **options: object) -> Served:
    """Start a receiver that serves its pages."""
    host, port = free_address()
    receiver = start_receiver("-pm", "--plugin", "metrics", "--http", f"{host}:{port}", *arguments, **options)
    return Served(receiver, host, port)


def start_in(directory: Path, *arguments: object) -> Served:
    """The same, storing below `directory / "out"`, which may be a mounted file system."""
    return start(lambda *words, **options: Receiver(directory, *words, **options), *arguments)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def sockets_of(pid: int) -> set[str]:
    """The inodes of sockets that a process has; of one that ends meanwhile, those that were seen."""
    found = set()
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(os.readlink(link).removeprefix("socket:[").removesuffix("]"))
    return found


def server_of(served: Served) -> int:
    """The process that serves the pages: the child of the receiver that listens there."""
    inodes = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{served.port:04X}") and line.split()[3] == "0A"
    }
    for child in children(served.receiver.process.pid):
        if inodes & sockets_of(child):
            return child
    raise AssertionError("no process of the receiver listens there")
