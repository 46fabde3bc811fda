"""The stream between the old and the new program: an object of JSON a line; with `YOURS` go descriptors."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from dcmrecv_core.net.handover import receive_with_descriptors

READY = "ready"
"""The new program can serve. Its value is the process id."""
FAILED = "failed"
"""It cannot. Its value says why."""
YOURS = "yours"
"""The new program owns sockets and state directory from now on."""
TAKEN = "taken"
"""It has taken them over."""

_CHUNK = 1 << 16
_LONGEST_TEXT = 4000
_MOST_DESCRIPTORS = 2


class Channel:
    """One end, which never blocks."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._data = b""
        self._descriptors: list[int] = []

    def send(self, kind: str, value: Any = True, descriptors: tuple[int, ...] = ()) -> None:
        """Raises OSError if the other program has ended."""
        if isinstance(value, str):
            value = value[:_LONGEST_TEXT]
        socket.send_fds(self.sock, [json.dumps({kind: value}).encode() + b"\n"], descriptors)

    def receive(self) -> dict[str, Any] | None:
        """What has arrived, None if the other program has ended."""
        try:
            data, descriptors = receive_with_descriptors(self.sock, _CHUNK, _MOST_DESCRIPTORS)
        except BlockingIOError:
            return {}
        except OSError:
            data, descriptors = b"", []
        self._descriptors += descriptors
        if not data:
            return None
        *lines, self._data = (self._data + data).split(b"\n")
        return {kind: value for line in lines for kind, value in json.loads(line).items()}

    def take_descriptors(self) -> list[int]:
        """Those that have arrived; the caller closes them."""
        taken, self._descriptors = self._descriptors, []
        return taken

    def close(self) -> None:
        for fd in self.take_descriptors():
            os.close(fd)
        self.sock.close()
