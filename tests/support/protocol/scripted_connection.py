"""A connection that plays a script, and a clock that moves only while the connection is quiet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from dcmrecv_core.net.connection import CALL_TIMEOUT

EOF = b""
Step = bytes | None | OSError | Callable[[], object]
"""The result of a read: bytes, nothing for CALL_TIMEOUT seconds, an error; or a function to call before the next."""


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wait(self) -> None:
        self.now += CALL_TIMEOUT
        assert self.now < 100_000, "nothing ends this association"


class FakeConnection:
    """Plays `script`; then the peer is quiet for ever. `room`: how many bytes it takes without reading."""

    peer_subject: str | None = None

    def __init__(self, clock: Clock, script: list[Step], room: int | None = None) -> None:
        self.clock = clock
        self.script = deque(script)
        self.room = room
        self.sends: list[bytes] = []
        self.send_error: OSError | None = None
        self.closed = False
        self.acknowledged = 0
        self.waited = 0.0

    @property
    def sent(self) -> bytes:
        return b"".join(self.sends)

    def receive_into(self, view: memoryview) -> int | None:
        assert not self.closed
        self._act()
        step = self.script.popleft() if self.script else None
        if step is None:
            self.clock.wait()
            self.waited += CALL_TIMEOUT
            return None
        if isinstance(step, OSError):
            raise step
        assert isinstance(step, bytes)
        count = min(len(step), len(view))
        view[:count] = step[:count]
        if step[count:]:
            self.script.appendleft(step[count:])
        return count

    def acknowledge(self) -> None:
        self.acknowledged += 1

    def send(self, data: bytes | bytearray) -> int:
        assert not self.closed
        if self.send_error is not None:
            raise self.send_error
        count = len(data) if self.room is None else min(len(data), self.room)
        if count:
            self.sends.append(bytes(data[:count]))
        if self.room is not None:
            self.room -= count
        return count

    def wait(self) -> tuple[bool, bool]:
        if self.script and callable(self.script[0]):
            self._act(1)
        readable = bool(self.script) and isinstance(self.script[0], bytes | OSError)
        writable = self.room != 0
        if not readable and not writable:
            if self.script and self.script[0] is None:
                self.script.popleft()
            self.clock.wait()
        return readable, writable

    def wait_writable(self) -> bool:
        if self.room == 0:
            if self.script and callable(self.script[0]):
                self._act(1)
            else:
                self.clock.wait()
        return self.room != 0

    def wait_readable(self, seconds: float) -> bool:
        if not self.script or self.script[0] is None:
            self.clock.now += seconds
            return False
        return True

    def finish(self, seconds: float = 0.0) -> None:
        self.closed = True

    def _act(self, times: int = 1000) -> None:
        while times and self.script and callable(self.script[0]):
            action = self.script.popleft()
            assert callable(action)
            action()
            times -= 1
